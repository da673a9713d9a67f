-- Verify 0005-lean-settling: each query fails if what it names is missing.

-- exists: procedures/guards/check_lines_of.sql
select 'payout.check_lines_of(text[], boolean)'::regprocedure;
-- end exists: procedures/guards/check_lines_of.sql

-- exists: procedures/guards/refuse_row.sql
select 'payout.refuse_row(text, text)'::regprocedure;
-- end exists: procedures/guards/refuse_row.sql

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
where tgrelid = 'payout.transfer_states'::regclass and tgname = '_510_check_start';
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.transfer_states'::regclass and tgname = '_511_check_progress';
-- end exists: procedures/guards/tg_transfer_states__check_progress.sql

-- exists: procedures/guards/transfer_fits.sql
select 'payout.transfer_fits(payout.payout_transfers)'::regprocedure;
-- end exists: procedures/guards/transfer_fits.sql

-- exists: procedures/scheduling/create_payout_job.sql
select 'payout.create_payout_job(payout.settlements, payout.settlement_lines[])'::regprocedure;
-- end exists: procedures/scheduling/create_payout_job.sql

-- exists: procedures/scheduling/create_transfer.sql
select 'payout.create_transfer(payout.settlements, bigint, payout.settlement_lines)'::regprocedure;
-- end exists: procedures/scheduling/create_transfer.sql

-- exists: procedures/scheduling/create_transfers.sql
select 'payout.create_transfers(payout.settlements, bigint)'::regprocedure;
-- end exists: procedures/scheduling/create_transfers.sql

-- exists: procedures/scheduling/first_lines.sql
select 'payout.first_lines(text)'::regprocedure;
-- end exists: procedures/scheduling/first_lines.sql

-- exists: procedures/scheduling/owed_transfers.sql
select 'payout.owed_transfers(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/owed_transfers.sql

-- exists: procedures/scheduling/read_lines.sql
select 'payout.read_lines(payout.external_id, jsonb)'::regprocedure;
-- end exists: procedures/scheduling/read_lines.sql

-- exists: procedures/scheduling/refuse_bad_lines.sql
select 'payout.refuse_bad_lines(jsonb)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_lines.sql

-- exists: procedures/scheduling/schedule_payout_job.sql
select 'payout.schedule_payout_job(text)'::regprocedure;
-- end exists: procedures/scheduling/schedule_payout_job.sql

-- exists: procedures/scheduling/settlement_difference.sql
select 'payout.settlement_difference(payout.settlements, text, jsonb, timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/scheduling/settlement_difference.sql

-- exists: procedures/scheduling/tg_settlements__schedule_payout_job.sql
select 'payout.tg_settlements__schedule_payout_job()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.settlements'::regclass and tgname = '_900_schedule_payout_job';
-- end exists: procedures/scheduling/tg_settlements__schedule_payout_job.sql

-- exists: procedures/scheduling/total_minor.sql
select 'payout.total_minor(payout.settlement_lines[])'::regprocedure;
-- end exists: procedures/scheduling/total_minor.sql

-- exists: procedures/scheduling/transfer_request.sql
select 'payout.transfer_request(text, payout.settlements, text, text, bigint, text)'::regprocedure;
-- end exists: procedures/scheduling/transfer_request.sql

-- exists: procedures/ledger/entry_fits.sql
select 'payout.entry_fits(payout.ledger_entries)'::regprocedure;
-- end exists: procedures/ledger/entry_fits.sql

-- exists: procedures/api/app/complete_settlement.sql
select 'payout_api.complete_settlement(text, text, jsonb, timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/api/app/complete_settlement.sql

-- exists: procedures/doctor/check_references.sql
select 'payout.check_references()'::regprocedure;
-- end exists: procedures/doctor/check_references.sql

-- exists: procedures/doorbell/hear_doorbell.sql
select 'payout.hear_doorbell()'::regprocedure;
-- end exists: procedures/doorbell/hear_doorbell.sql

-- exists: procedures/doorbell/is_waiting.sql
select 'payout.is_waiting(bigint)'::regprocedure;
-- end exists: procedures/doorbell/is_waiting.sql

-- exists: procedures/doorbell/ring_for_job.sql
select 'payout.ring_for_job(bigint, integer, timestamptz)'::regprocedure;
-- end exists: procedures/doorbell/ring_for_job.sql
