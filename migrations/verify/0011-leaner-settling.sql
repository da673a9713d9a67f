-- Verify 0011-leaner-settling: each query fails if what it names is missing.

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

-- exists: procedures/doctor/expected_rights.sql
select 'payout.expected_rights()'::regprocedure;
-- end exists: procedures/doctor/expected_rights.sql
