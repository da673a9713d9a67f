-- Verify 0003-money-movement: each query fails if what it names is missing.

-- exists: procedures/api/operator/hold.sql
select 'payout_api.hold(text, text, text)'::regprocedure;
-- end exists: procedures/api/operator/hold.sql

-- exists: procedures/execution/answers_request.sql
select 'payout.answers_request(payout.outcome, payout.payout_transfers)'::regprocedure;
-- end exists: procedures/execution/answers_request.sql

-- exists: procedures/execution/backoff.sql
select 'payout.backoff(payout.stripe_error_rules, integer)'::regprocedure;
-- end exists: procedures/execution/backoff.sql

-- exists: procedures/execution/held_subjects.sql
select 'payout.held_subjects(text)'::regprocedure;
-- end exists: procedures/execution/held_subjects.sql

-- exists: procedures/execution/is_only_send.sql
select 'payout.is_only_send(payout.transfer_states)'::regprocedure;
-- end exists: procedures/execution/is_only_send.sql

-- exists: procedures/execution/judge_decline.sql
select 'payout.judge_decline(payout.judgement, payout.stripe_error_rules, payout.transfer_states, payout.engine_settings)'::regprocedure;
-- end exists: procedures/execution/judge_decline.sql

-- exists: procedures/execution/judge_failure.sql
select 'payout.judge_failure(payout.outcome, payout.transfer_states, payout.engine_settings)'::regprocedure;
-- end exists: procedures/execution/judge_failure.sql

-- exists: procedures/execution/match_error_rule.sql
select 'payout.match_error_rule(payout.outcome)'::regprocedure;
-- end exists: procedures/execution/match_error_rule.sql

-- exists: procedures/execution/read_outcomes.sql
select 'payout.read_outcomes(jsonb)'::regprocedure;
-- end exists: procedures/execution/read_outcomes.sql

-- exists: procedures/execution/remaining_facts.sql
select 'payout.remaining_facts(payout.outcome)'::regprocedure;
-- end exists: procedures/execution/remaining_facts.sql

-- exists: procedures/execution/saved_decline.sql
select 'payout.saved_decline(payout.transfer_states)'::regprocedure;
-- end exists: procedures/execution/saved_decline.sql

-- exists: sql/views/overview.sql
select 'payout_api.overview'::regclass;
-- end exists: sql/views/overview.sql
