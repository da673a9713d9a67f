-- Verify 0017-none-left-out: each query fails if what it names is missing.

-- exists: procedures/guards/check_lines_of.sql
select 'payout.check_lines_of(text[], boolean)'::regprocedure;
-- end exists: procedures/guards/check_lines_of.sql

-- exists: procedures/guards/tg_lines_ahead__check_settlement.sql
select 'payout.tg_lines_ahead__check_settlement()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.lines_ahead'::regclass and tgname = '_900_check_settlement';
-- end exists: procedures/guards/tg_lines_ahead__check_settlement.sql

-- exists: procedures/api/operator/change_stripe_account.sql
select 'payout_api.change_stripe_account(text, boolean, text)'::regprocedure;
-- end exists: procedures/api/operator/change_stripe_account.sql

-- exists: procedures/api/operator/open_gate.sql
select 'payout_api.open_gate(text, boolean)'::regprocedure;
-- end exists: procedures/api/operator/open_gate.sql

-- exists: procedures/api/operator/release_hold.sql
select 'payout_api.release_hold(bigint, text)'::regprocedure;
-- end exists: procedures/api/operator/release_hold.sql

-- exists: procedures/api/worker/begin_reconcile.sql
select 'payout_api.begin_reconcile(text, text, boolean)'::regprocedure;
-- end exists: procedures/api/worker/begin_reconcile.sql

-- exists: procedures/api/worker/claim_transfers.sql
select 'payout_api.claim_transfers(text, integer, bigint, text, boolean)'::regprocedure;
-- end exists: procedures/api/worker/claim_transfers.sql

-- exists: procedures/api/worker/report_events_page.sql
select 'payout_api.report_events_page(jsonb, text, jsonb, boolean)'::regprocedure;
-- end exists: procedures/api/worker/report_events_page.sql

-- exists: procedures/api/worker/report_outcomes.sql
select 'payout_api.report_outcomes(jsonb)'::regprocedure;
-- end exists: procedures/api/worker/report_outcomes.sql

-- exists: procedures/api/worker/report_reconcile_page.sql
select 'payout_api.report_reconcile_page(bigint, jsonb, text, jsonb, boolean)'::regprocedure;
-- end exists: procedures/api/worker/report_reconcile_page.sql

-- exists: procedures/api/worker/sweep.sql
select 'payout_api.sweep(integer)'::regprocedure;
-- end exists: procedures/api/worker/sweep.sql

-- exists: procedures/doctor/check_books.sql
select 'payout.check_books()'::regprocedure;
-- end exists: procedures/doctor/check_books.sql

-- exists: procedures/doctor/check_rights.sql
select 'payout.check_rights()'::regprocedure;
-- end exists: procedures/doctor/check_rights.sql

-- exists: procedures/doctor/check_settlements.sql
select 'payout.check_settlements()'::regprocedure;
-- end exists: procedures/doctor/check_settlements.sql

-- exists: procedures/doctor/given_rights.sql
select 'payout.given_rights()'::regprocedure;
-- end exists: procedures/doctor/given_rights.sql

-- exists: procedures/epoch/gate_problem.sql
select 'payout.gate_problem()'::regprocedure;
-- end exists: procedures/epoch/gate_problem.sql

-- exists: procedures/epoch/refuse_unsafe_account_change.sql
select 'payout.refuse_unsafe_account_change(payout.engine_settings, boolean)'::regprocedure;
-- end exists: procedures/epoch/refuse_unsafe_account_change.sql

-- exists: procedures/execution/expire_leases.sql
select 'payout.expire_leases(timestamptz, integer)'::regprocedure;
-- end exists: procedures/execution/expire_leases.sql

-- exists: procedures/execution/lock_due_transfers.sql
select 'payout.lock_due_transfers(timestamptz, timestamptz, integer, bigint)'::regprocedure;
-- end exists: procedures/execution/lock_due_transfers.sql

-- exists: procedures/execution/park_expired_keys.sql
select 'payout.park_expired_keys(timestamptz, integer)'::regprocedure;
-- end exists: procedures/execution/park_expired_keys.sql

-- exists: procedures/execution/place_hold.sql
select 'payout.place_hold(text, text, text)'::regprocedure;
-- end exists: procedures/execution/place_hold.sql

-- exists: procedures/execution/record_unknown_transfers.sql
select 'payout.record_unknown_transfers(payout.outcome[])'::regprocedure;
-- end exists: procedures/execution/record_unknown_transfers.sql

-- exists: procedures/lookups/finish_lookup.sql
select 'payout.finish_lookup(payout.transfer_lookups, payout.transfer_states)'::regprocedure;
-- end exists: procedures/lookups/finish_lookup.sql

-- exists: procedures/reconcile/add_reconcile_page.sql
select 'payout.add_reconcile_page(payout.reconcile_runs, text, jsonb, boolean)'::regprocedure;
-- end exists: procedures/reconcile/add_reconcile_page.sql

-- exists: procedures/reconcile/adopt_seen.sql
select 'payout.adopt_seen(bigint[])'::regprocedure;
-- end exists: procedures/reconcile/adopt_seen.sql

-- exists: procedures/reconcile/close_reversal_lookup.sql
select 'payout.close_reversal_lookup(payout.payout_transfers, text, text)'::regprocedure;
-- end exists: procedures/reconcile/close_reversal_lookup.sql

-- exists: procedures/reconcile/record_findings.sql
select 'payout.record_findings(payout.finding[], bigint)'::regprocedure;
-- end exists: procedures/reconcile/record_findings.sql

-- exists: procedures/reconcile/resolve_adopted.sql
select 'payout.resolve_adopted(text[])'::regprocedure;
-- end exists: procedures/reconcile/resolve_adopted.sql

-- exists: procedures/reconcile/reversals_problem.sql
select 'payout.reversals_problem(payout.payout_transfers, jsonb)'::regprocedure;
-- end exists: procedures/reconcile/reversals_problem.sql

-- exists: procedures/reconcile/start_run.sql
select 'payout.start_run(text)'::regprocedure;
-- end exists: procedures/reconcile/start_run.sql

-- exists: procedures/reconcile/unjudged_sightings.sql
select 'payout.unjudged_sightings()'::regprocedure;
-- end exists: procedures/reconcile/unjudged_sightings.sql
