-- Verify 0017-none-left-out: each query fails if what it names is missing.

-- exists: procedures/guards/check_lines_of.sql
select 'payout.check_lines_of(text[], boolean)'::regprocedure;
-- end exists: procedures/guards/check_lines_of.sql

-- exists: procedures/guards/id_fits.sql
select 'payout.id_fits(text)'::regprocedure;
-- end exists: procedures/guards/id_fits.sql

-- exists: procedures/guards/tg_lines_ahead__check_settlement.sql
select 'payout.tg_lines_ahead__check_settlement()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.lines_ahead'::regclass and tgname = '_900_check_settlement';
-- end exists: procedures/guards/tg_lines_ahead__check_settlement.sql

-- exists: procedures/scheduling/create_payout_job.sql
select 'payout.create_payout_job(payout.settlements, payout.settlement_lines[])'::regprocedure;
-- end exists: procedures/scheduling/create_payout_job.sql

-- exists: procedures/scheduling/create_transfers.sql
select 'payout.create_transfers(payout.settlements, bigint)'::regprocedure;
-- end exists: procedures/scheduling/create_transfers.sql

-- exists: procedures/api/app/complete_settlement.sql
select 'payout_api.complete_settlement(text, text, jsonb, timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/api/app/complete_settlement.sql

-- exists: procedures/api/operator/doctor.sql
select 'payout_api.doctor(text, boolean)'::regprocedure;
-- end exists: procedures/api/operator/doctor.sql

-- exists: procedures/api/operator/open_gate.sql
select 'payout_api.open_gate(text, boolean)'::regprocedure;
-- end exists: procedures/api/operator/open_gate.sql

-- exists: procedures/api/worker/claim_transfers.sql
select 'payout_api.claim_transfers(text, integer, bigint, text, boolean)'::regprocedure;
-- end exists: procedures/api/worker/claim_transfers.sql

-- exists: procedures/doctor/check_books.sql
select 'payout.check_books()'::regprocedure;
-- end exists: procedures/doctor/check_books.sql

-- exists: procedures/doctor/check_rights.sql
select 'payout.check_rights()'::regprocedure;
-- end exists: procedures/doctor/check_rights.sql

-- exists: procedures/doctor/check_settlements.sql
select 'payout.check_settlements()'::regprocedure;
-- end exists: procedures/doctor/check_settlements.sql

-- exists: procedures/doctor/given_rights.sql
select 'payout.given_rights()'::regprocedure;
-- end exists: procedures/doctor/given_rights.sql

-- exists: procedures/doorbell/ring_for_job.sql
select 'payout.ring_for_job(bigint, integer, timestamptz)'::regprocedure;
-- end exists: procedures/doorbell/ring_for_job.sql
