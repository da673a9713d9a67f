-- Verify 0008-lookups: each query fails if what it names is missing.

-- exists: procedures/guards/tg_transfer_states__plan_lookup.sql
select 'payout.tg_transfer_states__plan_lookup()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.transfer_states'::regclass and tgname = '_110_plan_lookup';
-- end exists: procedures/guards/tg_transfer_states__plan_lookup.sql

-- exists: procedures/ledger/newest_facts.sql
select 'payout.newest_facts()'::regprocedure;
-- end exists: procedures/ledger/newest_facts.sql

-- exists: procedures/api/operator/approve_absence.sql
select 'payout_api.approve_absence(bigint, text)'::regprocedure;
-- end exists: procedures/api/operator/approve_absence.sql

-- exists: procedures/api/worker/claim_lookups.sql
select 'payout_api.claim_lookups(text, integer, text, boolean)'::regprocedure;
-- end exists: procedures/api/worker/claim_lookups.sql

-- exists: procedures/execution/absence_counts_from.sql
select 'payout.absence_counts_from(bigint)'::regprocedure;
-- end exists: procedures/execution/absence_counts_from.sql

-- exists: procedures/execution/is_definite.sql
select 'payout.is_definite(payout.transfer_attempts)'::regprocedure;
-- end exists: procedures/execution/is_definite.sql

-- exists: procedures/execution/judge_absence.sql
select 'payout.judge_absence(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings)'::regprocedure;
-- end exists: procedures/execution/judge_absence.sql

-- exists: procedures/execution/judge_lookup.sql
select 'payout.judge_lookup(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings)'::regprocedure;
-- end exists: procedures/execution/judge_lookup.sql

-- exists: procedures/execution/judge_outcome.sql
select 'payout.judge_outcome(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings)'::regprocedure;
-- end exists: procedures/execution/judge_outcome.sql

-- exists: procedures/execution/judge_success.sql
select 'payout.judge_success(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings)'::regprocedure;
-- end exists: procedures/execution/judge_success.sql

-- exists: procedures/execution/other_attempts_drain_at.sql
select 'payout.other_attempts_drain_at(payout.transfer_states)'::regprocedure;
-- end exists: procedures/execution/other_attempts_drain_at.sql

-- exists: procedures/execution/proof_of_absence.sql
select 'payout.proof_of_absence(payout.transfer_states)'::regprocedure;
-- end exists: procedures/execution/proof_of_absence.sql

-- exists: procedures/execution/record_outcomes.sql
select 'payout.record_outcomes(payout.outcome[])'::regprocedure;
-- end exists: procedures/execution/record_outcomes.sql

-- exists: procedures/execution/reopen_failed.sql
select 'payout.reopen_failed(timestamptz, integer)'::regprocedure;
-- end exists: procedures/execution/reopen_failed.sql

-- exists: procedures/lookups/first_absence.sql
select 'payout.first_absence(payout.transfer_lookups)'::regprocedure;
-- end exists: procedures/lookups/first_absence.sql

-- exists: procedures/lookups/match_facts.sql
select 'payout.match_facts(jsonb)'::regprocedure;
-- end exists: procedures/lookups/match_facts.sql

-- exists: procedures/lookups/page_problem.sql
select 'payout.page_problem(text, boolean, text, jsonb, boolean)'::regprocedure;
-- end exists: procedures/lookups/page_problem.sql

-- exists: procedures/lookups/refuse_lookup_page.sql
select 'payout.refuse_lookup_page(bigint, text)'::regprocedure;
-- end exists: procedures/lookups/refuse_lookup_page.sql
