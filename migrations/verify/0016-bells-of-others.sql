-- Verify 0016-bells-of-others: each query fails if what it names is missing.

-- exists: procedures/doorbell/see_doorbell.sql
select 'payout.see_doorbell()'::regprocedure;
-- end exists: procedures/doorbell/see_doorbell.sql
