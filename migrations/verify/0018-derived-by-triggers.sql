-- Verify 0018-derived-by-triggers: each query fails if what it names is missing.

-- exists: procedures/guards/id_fits.sql
select 'payout.id_fits(text)'::regprocedure;
-- end exists: procedures/guards/id_fits.sql

-- exists: procedures/guards/progress_problem.sql
select 'payout.progress_problem(payout.transfer_states)'::regprocedure;
-- end exists: procedures/guards/progress_problem.sql

-- exists: procedures/guards/refuse_bad_row.sql
select 'payout.refuse_bad_row(text, text)'::regprocedure;
-- end exists: procedures/guards/refuse_bad_row.sql

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

-- exists: procedures/guards/tg_transfer_states__check_progress.sql
select 'payout.tg_transfer_states__check_progress()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.transfer_states'::regclass and tgname = '_511_check_progress';
-- end exists: procedures/guards/tg_transfer_states__check_progress.sql

-- exists: procedures/guards/tg_transfer_states__check_start.sql
select 'payout.tg_transfer_states__check_start()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.transfer_states'::regclass and tgname = '_500_check_start';
-- end exists: procedures/guards/tg_transfer_states__check_start.sql

-- exists: procedures/scheduling/create_payout_job.sql
select 'payout.create_payout_job(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/create_payout_job.sql

-- exists: procedures/scheduling/create_single_payout.sql
select 'payout.create_single_payout(payout.settlements, payout.settlement_lines)'::regprocedure;
-- end exists: procedures/scheduling/create_single_payout.sql

-- exists: procedures/scheduling/create_transfers.sql
select 'payout.create_transfers(payout.settlements, bigint)'::regprocedure;
-- end exists: procedures/scheduling/create_transfers.sql

-- exists: procedures/scheduling/payout_ref.sql
select 'payout.payout_ref(text, text, text)'::regprocedure;
-- end exists: procedures/scheduling/payout_ref.sql

-- exists: procedures/scheduling/read_lines.sql
select 'payout.read_lines(payout.external_id, jsonb)'::regprocedure;
-- end exists: procedures/scheduling/read_lines.sql

-- exists: procedures/scheduling/refuse_bad_lines.sql
select 'payout.refuse_bad_lines(jsonb)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_lines.sql

-- exists: procedures/scheduling/refuse_bad_settlement.sql
select 'payout.refuse_bad_settlement(payout.settlements, bigint)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_settlement.sql

-- exists: procedures/scheduling/request_sha256.sql
select 'payout.request_sha256(jsonb)'::regprocedure;
-- end exists: procedures/scheduling/request_sha256.sql

-- exists: procedures/scheduling/schedule_payout_job.sql
select 'payout.schedule_payout_job(text)'::regprocedure;
-- end exists: procedures/scheduling/schedule_payout_job.sql

-- exists: procedures/scheduling/tg_payout_transfers__derive.sql
select 'payout.tg_payout_transfers__derive()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.payout_transfers'::regclass and tgname = '_110_derive';
-- end exists: procedures/scheduling/tg_payout_transfers__derive.sql

-- exists: procedures/scheduling/tg_settlements__schedule_payout_job.sql
select 'payout.tg_settlements__schedule_payout_job()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.settlements'::regclass and tgname = '_900_schedule_payout_job';
-- end exists: procedures/scheduling/tg_settlements__schedule_payout_job.sql

-- exists: procedures/ledger/tg_ledger_entries__check_movement.sql
select 'payout.tg_ledger_entries__check_movement()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.ledger_entries'::regclass and tgname = '_500_check_movement';
-- end exists: procedures/ledger/tg_ledger_entries__check_movement.sql

-- exists: procedures/api/app/complete_settlement.sql
select 'payout_api.complete_settlement(text, text, jsonb, timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/api/app/complete_settlement.sql

-- exists: procedures/api/operator/doctor.sql
select 'payout_api.doctor(text, boolean)'::regprocedure;
-- end exists: procedures/api/operator/doctor.sql

-- exists: procedures/doctor/check_guards.sql
select 'payout.check_guards()'::regprocedure;
-- end exists: procedures/doctor/check_guards.sql

-- exists: procedures/doctor/check_rules.sql
select 'payout.check_rules()'::regprocedure;
-- end exists: procedures/doctor/check_rules.sql

-- exists: procedures/doorbell/ring_for_job.sql
select 'payout.ring_for_job(bigint, integer, timestamptz)'::regprocedure;
-- end exists: procedures/doorbell/ring_for_job.sql

-- exists: procedures/seals/sealed_rows_v1.sql
select 'payout.sealed_rows_v1(text, bigint, bigint, integer)'::regprocedure;
-- end exists: procedures/seals/sealed_rows_v1.sql
