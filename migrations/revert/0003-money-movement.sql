-- Revert 0003-money-movement.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: sql/error_codes.sql 3823a01f0dbf
-- error_codes: every error the engine raises by itself, with what the caller does about it.

create or replace view payout_api.error_codes as
select c.sqlstate, c.meaning, c.reaction
from (values
    ('SP101', 'a fact may not be changed or removed', 'stop and alert'),
    ('SP102', 'a complete settlement may not be changed', 'stop and alert'),
    ('SP103', 'attempts and keys of a transfer only count up', 'stop and alert'),
    ('SP104', 'a hold can only be released, once', 'stop and alert'),
    ('SP201', 'the transfer is in a state that knows no such move', 'finish quietly'),
    ('SP202', 'the settlement is still pending', 'finish quietly'),
    ('SP301', 'a line names an unknown payee', 'correct the call'),
    ('SP302', 'a line names a payee without a Stripe account', 'correct the call'),
    ('SP303', 'the lines do not add up to the total', 'correct the call'),
    ('SP304', 'a transfer is larger than Stripe takes', 'correct the call'),
    ('SP305', 'the currency is not supported', 'correct the call'),
    ('SP306', 'the amount is no multiple of the currency''s step', 'correct the call'),
    ('SP307', 'the settlement exists with other content', 'correct the call'),
    ('SP308', 'the metadata is beyond what Stripe takes', 'correct the call'),
    ('SP309', 'the lines are malformed', 'correct the call'),
    ('SP310', 'no such settlement, transfer, job or hold', 'correct the call'),
    ('SP402', 'another transaction came first: repeat this one', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_auditor;
-- end frozen: sql/error_codes.sql

-- dropped: sql/views/unpaid.sql
drop view if exists payout_api.unpaid;
-- end dropped: sql/views/unpaid.sql

-- dropped: sql/views/overview.sql
drop view if exists payout_api.overview;
-- end dropped: sql/views/overview.sql

-- dropped: procedures/execution/saved_decline.sql
drop function if exists payout.saved_decline(payout.transfer_states);
-- end dropped: procedures/execution/saved_decline.sql

-- dropped: procedures/execution/reopen_declined.sql
drop function if exists payout.reopen_declined(timestamptz, integer);
-- end dropped: procedures/execution/reopen_declined.sql

-- dropped: procedures/execution/remaining_facts.sql
drop function if exists payout.remaining_facts(payout.outcome);
-- end dropped: procedures/execution/remaining_facts.sql

-- dropped: procedures/execution/refuse_unsafe_server.sql
drop function if exists payout.refuse_unsafe_server();
-- end dropped: procedures/execution/refuse_unsafe_server.sql

-- dropped: procedures/execution/record_unknown_transfers.sql
drop function if exists payout.record_unknown_transfers(payout.outcome[]);
-- end dropped: procedures/execution/record_unknown_transfers.sql

-- dropped: procedures/execution/record_outcomes.sql
drop function if exists payout.record_outcomes(payout.outcome[]);
-- end dropped: procedures/execution/record_outcomes.sql

-- dropped: procedures/execution/read_outcomes.sql
drop function if exists payout.read_outcomes(jsonb);
-- end dropped: procedures/execution/read_outcomes.sql

-- dropped: procedures/execution/raise_alarm.sql
drop function if exists payout.raise_alarm(payout.outcome, payout.judgement);
-- end dropped: procedures/execution/raise_alarm.sql

-- dropped: procedures/execution/place_hold.sql
drop function if exists payout.place_hold(text, text, text);
-- end dropped: procedures/execution/place_hold.sql

-- dropped: procedures/execution/park_expired_keys.sql
drop function if exists payout.park_expired_keys(timestamptz, integer);
-- end dropped: procedures/execution/park_expired_keys.sql

-- dropped: procedures/execution/other_attempts_drain_at.sql
drop function if exists payout.other_attempts_drain_at(payout.transfer_states);
-- end dropped: procedures/execution/other_attempts_drain_at.sql

-- dropped: procedures/execution/match_error_rule.sql
drop function if exists payout.match_error_rule(payout.outcome);
-- end dropped: procedures/execution/match_error_rule.sql

-- dropped: procedures/execution/lock_due_transfers.sql
drop function if exists payout.lock_due_transfers(timestamptz, timestamptz, integer, bigint);
-- end dropped: procedures/execution/lock_due_transfers.sql

-- dropped: procedures/execution/judge_success.sql
drop function if exists payout.judge_success(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings);
-- end dropped: procedures/execution/judge_success.sql

-- dropped: procedures/execution/judge_outcome.sql
drop function if exists payout.judge_outcome(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings);
-- end dropped: procedures/execution/judge_outcome.sql

-- dropped: procedures/execution/judge_failure.sql
drop function if exists payout.judge_failure(payout.outcome, payout.transfer_states, payout.engine_settings);
-- end dropped: procedures/execution/judge_failure.sql

-- dropped: procedures/execution/judge_decline.sql
drop function if exists payout.judge_decline(payout.judgement, payout.stripe_error_rules, payout.transfer_states, payout.engine_settings);
-- end dropped: procedures/execution/judge_decline.sql

-- dropped: procedures/execution/is_only_send.sql
drop function if exists payout.is_only_send(payout.transfer_states);
-- end dropped: procedures/execution/is_only_send.sql

-- dropped: procedures/execution/held_subjects.sql
drop function if exists payout.held_subjects(text);
-- end dropped: procedures/execution/held_subjects.sql

-- dropped: procedures/execution/expire_leases.sql
drop function if exists payout.expire_leases(timestamptz, integer);
-- end dropped: procedures/execution/expire_leases.sql

-- dropped: procedures/execution/backoff.sql
drop function if exists payout.backoff(payout.stripe_error_rules, integer);
-- end dropped: procedures/execution/backoff.sql

-- dropped: procedures/execution/answers_request.sql
drop function if exists payout.answers_request(payout.outcome, payout.payout_transfers);
-- end dropped: procedures/execution/answers_request.sql

-- dropped: procedures/api/worker/sweep.sql
drop function if exists payout_api.sweep(integer);
-- end dropped: procedures/api/worker/sweep.sql

-- dropped: procedures/api/worker/report_outcomes.sql
drop function if exists payout_api.report_outcomes(jsonb);
-- end dropped: procedures/api/worker/report_outcomes.sql

-- dropped: procedures/api/worker/claim_transfers.sql
drop function if exists payout_api.claim_transfers(text, integer, bigint);
-- end dropped: procedures/api/worker/claim_transfers.sql

-- dropped: procedures/api/operator/release_hold.sql
drop function if exists payout_api.release_hold(bigint, text);
-- end dropped: procedures/api/operator/release_hold.sql

-- dropped: procedures/api/operator/hold.sql
drop function if exists payout_api.hold(text, text, text);
-- end dropped: procedures/api/operator/hold.sql

drop type payout.judgement;
drop type payout.outcome;
delete from payout.stripe_error_rules;

reset role;
