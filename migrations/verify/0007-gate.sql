-- Verify 0007-gate: each query fails if what it names is missing.

-- exists: procedures/epoch/name_stripe_account.sql
select 'payout.name_stripe_account(text, boolean)'::regprocedure;
-- end exists: procedures/epoch/name_stripe_account.sql

-- exists: procedures/epoch/refuse_other_stripe_account.sql
select 'payout.refuse_other_stripe_account(text, boolean)'::regprocedure;
-- end exists: procedures/epoch/refuse_other_stripe_account.sql

-- exists: procedures/epoch/where_we_are.sql
select 'payout.where_we_are()'::regprocedure;
-- end exists: procedures/epoch/where_we_are.sql
