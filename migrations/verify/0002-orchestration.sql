-- Verify 0002-orchestration: each query fails if what it names is missing.

-- exists: procedures/scheduling/metadata_problem.sql
select 'payout.metadata_problem(jsonb)'::regprocedure;
-- end exists: procedures/scheduling/metadata_problem.sql

-- exists: procedures/scheduling/refuse_bad_amounts.sql
select 'payout.refuse_bad_amounts(text, text)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_amounts.sql

-- exists: procedures/scheduling/refuse_bad_header.sql
select 'payout.refuse_bad_header(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_header.sql

-- exists: procedures/scheduling/refuse_bad_payees.sql
select 'payout.refuse_bad_payees(text)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_payees.sql

-- exists: procedures/scheduling/refuse_bad_total.sql
select 'payout.refuse_bad_total(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_total.sql

-- exists: procedures/api/app/register_payee.sql
select 'payout_api.register_payee(text, text)'::regprocedure;
-- end exists: procedures/api/app/register_payee.sql
