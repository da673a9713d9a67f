-- Verify 0011-leaner-settling: each query fails if what it names is missing.

-- exists: procedures/guards/progress_fits.sql
select 'payout.progress_fits(payout.transfer_states)'::regprocedure;
-- end exists: procedures/guards/progress_fits.sql

-- exists: procedures/guards/tg_settlement_lines__refuse_frozen.sql
select 'payout.tg_settlement_lines__refuse_frozen()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.settlement_lines'::regclass and tgname = '_900_refuse_frozen_insert';
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.settlement_lines'::regclass and tgname = '_901_refuse_frozen_update_from';
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.settlement_lines'::regclass and tgname = '_902_refuse_frozen_update_to';
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.settlement_lines'::regclass and tgname = '_903_refuse_frozen_delete';
-- end exists: procedures/guards/tg_settlement_lines__refuse_frozen.sql

-- exists: procedures/guards/transfer_fits.sql
select 'payout.transfer_fits(payout.payout_transfers)'::regprocedure;
-- end exists: procedures/guards/transfer_fits.sql

-- exists: procedures/scheduling/create_transfer.sql
select 'payout.create_transfer(payout.settlements, bigint, payout.settlement_lines)'::regprocedure;
-- end exists: procedures/scheduling/create_transfer.sql

-- exists: procedures/scheduling/payout_ref.sql
select 'payout.payout_ref(text, text, text)'::regprocedure;
-- end exists: procedures/scheduling/payout_ref.sql

-- exists: procedures/scheduling/read_lines.sql
select 'payout.read_lines(payout.external_id, jsonb)'::regprocedure;
-- end exists: procedures/scheduling/read_lines.sql

-- exists: procedures/scheduling/schedule_payout_job.sql
select 'payout.schedule_payout_job(text)'::regprocedure;
-- end exists: procedures/scheduling/schedule_payout_job.sql

-- exists: procedures/doctor/expected_rights.sql
select 'payout.expected_rights()'::regprocedure;
-- end exists: procedures/doctor/expected_rights.sql
