-- Verify 0005-lean-settling: each query fails if what it names is missing.

-- exists: procedures/guards/refuse_row.sql
select 'payout.refuse_row(text, text)'::regprocedure;
-- end exists: procedures/guards/refuse_row.sql

-- exists: procedures/guards/tg_transfer_states__check_progress.sql
select 'payout.tg_transfer_states__check_progress()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.transfer_states'::regclass and tgname = '_510_check_start';
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.transfer_states'::regclass and tgname = '_511_check_progress';
-- end exists: procedures/guards/tg_transfer_states__check_progress.sql

-- exists: procedures/scheduling/owed_transfers.sql
select 'payout.owed_transfers(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/owed_transfers.sql

-- exists: procedures/scheduling/refuse_bad_lines.sql
select 'payout.refuse_bad_lines(jsonb)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_lines.sql

-- exists: procedures/scheduling/settlement_difference.sql
select 'payout.settlement_difference(payout.settlements, text, jsonb, timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/scheduling/settlement_difference.sql

-- exists: procedures/scheduling/transfer_request.sql
select 'payout.transfer_request(text, payout.settlements, text, text, bigint, text)'::regprocedure;
-- end exists: procedures/scheduling/transfer_request.sql
