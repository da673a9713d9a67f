-- Verify 0012-one-look-less: each query fails if what it names is missing.

-- exists: procedures/guards/tg_settlements__refuse_frozen.sql
select 'payout.tg_settlements__refuse_frozen()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.settlements'::regclass and tgname = '_500_refuse_frozen';
-- end exists: procedures/guards/tg_settlements__refuse_frozen.sql

-- exists: procedures/doctor/check_references.sql
select 'payout.check_references()'::regprocedure;
-- end exists: procedures/doctor/check_references.sql

-- exists: procedures/doorbell/hear_doorbell.sql
select 'payout.hear_doorbell()'::regprocedure;
-- end exists: procedures/doorbell/hear_doorbell.sql

-- exists: procedures/doorbell/ring_doorbells.sql
select 'payout.ring_doorbells(timestamptz, integer)'::regprocedure;
-- end exists: procedures/doorbell/ring_doorbells.sql
