-- Verify 0007-gate: each query fails if what it names is missing.

-- exists: procedures/api/operator/change_stripe_account.sql
select 'payout_api.change_stripe_account(text, boolean, text)'::regprocedure;
-- end exists: procedures/api/operator/change_stripe_account.sql

-- exists: procedures/api/operator/doctor.sql
select 'payout_api.doctor(text, boolean)'::regprocedure;
-- end exists: procedures/api/operator/doctor.sql

-- exists: procedures/api/operator/open_gate.sql
select 'payout_api.open_gate(text, boolean)'::regprocedure;
-- end exists: procedures/api/operator/open_gate.sql

-- exists: procedures/api/worker/claim_transfers.sql
select 'payout_api.claim_transfers(text, integer, bigint, text, boolean)'::regprocedure;
-- end exists: procedures/api/worker/claim_transfers.sql

-- exists: procedures/doctor/check_gate.sql
select 'payout.check_gate(text, boolean)'::regprocedure;
-- end exists: procedures/doctor/check_gate.sql

-- exists: procedures/doctor/check_guards.sql
select 'payout.check_guards()'::regprocedure;
-- end exists: procedures/doctor/check_guards.sql

-- exists: procedures/doctor/check_rights.sql
select 'payout.check_rights()'::regprocedure;
-- end exists: procedures/doctor/check_rights.sql

-- exists: procedures/epoch/gate_problem.sql
select 'payout.gate_problem()'::regprocedure;
-- end exists: procedures/epoch/gate_problem.sql

-- exists: procedures/epoch/name_stripe_account.sql
select 'payout.name_stripe_account(text, boolean)'::regprocedure;
-- end exists: procedures/epoch/name_stripe_account.sql

-- exists: procedures/epoch/refuse_closed_gate.sql
select 'payout.refuse_closed_gate(text, boolean)'::regprocedure;
-- end exists: procedures/epoch/refuse_closed_gate.sql

-- exists: procedures/epoch/refuse_other_stripe_account.sql
select 'payout.refuse_other_stripe_account(text, boolean)'::regprocedure;
-- end exists: procedures/epoch/refuse_other_stripe_account.sql

-- exists: procedures/epoch/where_we_are.sql
select 'payout.where_we_are()'::regprocedure;
-- end exists: procedures/epoch/where_we_are.sql

-- exists: sql/error_codes.sql
select 'payout_api.error_codes'::regclass;
-- end exists: sql/error_codes.sql
