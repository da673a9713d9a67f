-- Verify 0010-reconcile: each query fails if what it names is missing.

-- exists: procedures/api/operator/resolve_discrepancy.sql
select 'payout_api.resolve_discrepancy(bigint, text)'::regprocedure;
-- end exists: procedures/api/operator/resolve_discrepancy.sql

-- exists: procedures/api/worker/claim_reversal_lookups.sql
select 'payout_api.claim_reversal_lookups(text, integer, text, boolean)'::regprocedure;
-- end exists: procedures/api/worker/claim_reversal_lookups.sql

-- exists: procedures/api/worker/report_reversals.sql
select 'payout_api.report_reversals(text, jsonb)'::regprocedure;
-- end exists: procedures/api/worker/report_reversals.sql

-- exists: procedures/doctor/check_gate.sql
select 'payout.check_gate(text, boolean)'::regprocedure;
-- end exists: procedures/doctor/check_gate.sql

-- exists: procedures/epoch/refuse_closed_gate.sql
select 'payout.refuse_closed_gate(text, boolean)'::regprocedure;
-- end exists: procedures/epoch/refuse_closed_gate.sql

-- exists: procedures/reconcile/adopt_sightings.sql
select 'payout.adopt_sightings(text[])'::regprocedure;
-- end exists: procedures/reconcile/adopt_sightings.sql

-- exists: procedures/reconcile/book_reversals.sql
select 'payout.book_reversals(payout.payout_transfers, jsonb)'::regprocedure;
-- end exists: procedures/reconcile/book_reversals.sql

-- exists: procedures/reconcile/compare_sightings.sql
select 'payout.compare_sightings(payout.stripe_sightings[])'::regprocedure;
-- end exists: procedures/reconcile/compare_sightings.sql

-- exists: procedures/reconcile/events_page_problem.sql
select 'payout.events_page_problem(jsonb, text, jsonb, boolean)'::regprocedure;
-- end exists: procedures/reconcile/events_page_problem.sql

-- exists: procedures/reconcile/find_missing.sql
select 'payout.find_missing(payout.reconcile_runs)'::regprocedure;
-- end exists: procedures/reconcile/find_missing.sql

-- exists: procedures/reconcile/finding_advice.sql
select 'payout.finding_advice(text)'::regprocedure;
-- end exists: procedures/reconcile/finding_advice.sql

-- exists: procedures/reconcile/list_problem.sql
select 'payout.list_problem(jsonb, text)'::regprocedure;
-- end exists: procedures/reconcile/list_problem.sql

-- exists: procedures/reconcile/park_seen.sql
select 'payout.park_seen(bigint[])'::regprocedure;
-- end exists: procedures/reconcile/park_seen.sql

-- exists: procedures/reconcile/read_sightings.sql
select 'payout.read_sightings(bigint, jsonb)'::regprocedure;
-- end exists: procedures/reconcile/read_sightings.sql

-- exists: procedures/reconcile/reconcile_page_problem.sql
select 'payout.reconcile_page_problem(payout.reconcile_runs, text, jsonb, boolean)'::regprocedure;
-- end exists: procedures/reconcile/reconcile_page_problem.sql

-- exists: procedures/reconcile/refuse_list.sql
select 'payout.refuse_list(text, text)'::regprocedure;
-- end exists: procedures/reconcile/refuse_list.sql

-- exists: procedures/reconcile/resolve_findings.sql
select 'payout.resolve_findings(bigint)'::regprocedure;
-- end exists: procedures/reconcile/resolve_findings.sql

-- exists: procedures/reconcile/reversal_list_problem.sql
select 'payout.reversal_list_problem(text, jsonb)'::regprocedure;
-- end exists: procedures/reconcile/reversal_list_problem.sql

-- exists: procedures/reconcile/reversals_finding.sql
select 'payout.reversals_finding(payout.payout_transfers, text, text, jsonb)'::regprocedure;
-- end exists: procedures/reconcile/reversals_finding.sql

-- exists: procedures/reconcile/sighting_outcome.sql
select 'payout.sighting_outcome(payout.stripe_sightings, payout.transfer_states)'::regprocedure;
-- end exists: procedures/reconcile/sighting_outcome.sql

-- exists: procedures/reconcile/take_sightings.sql
select 'payout.take_sightings(payout.stripe_sightings[], bigint)'::regprocedure;
-- end exists: procedures/reconcile/take_sightings.sql

-- exists: procedures/reconcile/transfer_facts.sql
select 'payout.transfer_facts(payout.payout_transfers, boolean)'::regprocedure;
-- end exists: procedures/reconcile/transfer_facts.sql

-- exists: sql/error_codes.sql
select 'payout_api.error_codes'::regclass;
-- end exists: sql/error_codes.sql

-- exists: sql/views/discrepancies.sql
select 'payout_api.discrepancies'::regclass;
-- end exists: sql/views/discrepancies.sql

-- exists: sql/views/reconcile_progress.sql
select 'payout_api.reconcile_progress'::regclass;
-- end exists: sql/views/reconcile_progress.sql
