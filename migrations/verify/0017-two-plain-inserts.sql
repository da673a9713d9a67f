-- Verify 0017-two-plain-inserts: each query fails if what it names is missing.

-- exists: procedures/api/app/complete_settlement.sql
select 'payout_api.complete_settlement(text, text, jsonb, timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/api/app/complete_settlement.sql

-- exists: procedures/api/operator/open_gate.sql
select 'payout_api.open_gate(text, boolean)'::regprocedure;
-- end exists: procedures/api/operator/open_gate.sql

-- exists: procedures/doorbell/ring_for_job.sql
select 'payout.ring_for_job(bigint, integer, timestamptz)'::regprocedure;
-- end exists: procedures/doorbell/ring_for_job.sql
