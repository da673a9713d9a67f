-- Verify 0014-run-and-query: each query fails if what it names is missing.

-- exists: procedures/api/worker/report_lookup_page.sql
select 'payout_api.report_lookup_page(bigint, integer, jsonb, text, jsonb, boolean)'::regprocedure;
-- end exists: procedures/api/worker/report_lookup_page.sql

-- exists: procedures/lookups/add_lookup_page.sql
select 'payout.add_lookup_page(payout.transfer_lookups, integer, jsonb, text, jsonb, boolean)'::regprocedure;
-- end exists: procedures/lookups/add_lookup_page.sql

-- exists: procedures/reconcile/reconcile_query.sql
select 'payout.reconcile_query(payout.reconcile_runs)'::regprocedure;
-- end exists: procedures/reconcile/reconcile_query.sql

-- exists: procedures/reconcile/refuse_other_query.sql
select 'payout.refuse_other_query(text, jsonb, jsonb)'::regprocedure;
-- end exists: procedures/reconcile/refuse_other_query.sql

-- exists: procedures/reconcile/runs_of_this_place.sql
select 'payout.runs_of_this_place()'::regprocedure;
-- end exists: procedures/reconcile/runs_of_this_place.sql
