-- Verify 0005-lean-settling: each query fails if what it names is missing.

-- exists: procedures/scheduling/owed_transfers.sql
select 'payout.owed_transfers(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/owed_transfers.sql

-- exists: procedures/scheduling/settlement_difference.sql
select 'payout.settlement_difference(payout.settlements, text, jsonb, timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/scheduling/settlement_difference.sql
