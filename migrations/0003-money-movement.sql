-- 0003-money-movement: claims, reports, error rules, leases and new keys (05C)
-- depends: 0002-orchestration

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

create type payout.outcome as (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    idempotency_key text,
    signal text,
    detail text,
    http_status integer,
    stripe_request_id text,
    is_replayed boolean,
    should_retry text,
    rate_limited_reason text,
    retry_after_seconds numeric,
    error_type text,
    error_code text,
    error_message text,
    error_param text,
    object text,
    stripe_transfer_id text,
    amount_minor bigint,
    currency text,
    destination text,
    is_livemode boolean,
    payout_ref text,
    amount_reversed_minor bigint
);
comment on type payout.outcome is
    'What a worker saw of one attempt: the elements of the array that report_outcomes takes.';

create type payout.judgement as (
    verdict text,
    to_state text,
    reason text,
    error_rule_id integer,
    next_attempt_at timestamptz,
    counts_as_try boolean,
    leaves_unknown boolean,
    is_alarm boolean,
    pauses_engine boolean
);
comment on type payout.judgement is 'What one outcome means for its transfer.';

insert into payout.stripe_error_rules (
    error_rule_id, signal, http_status_from, http_status_to, error_type, error_code, is_replayed,
    should_retry, is_rate_limited, reaction, is_saved, is_alarm, wait_at_least, wait_base, wait_cap,
    reason, advice)
values
    (10, 'not_sent', null, null, null, null, null, null, null, 'retry', false, false, '0', '1 s', '5 min',
        'stripe_not_reached', 'Nothing was sent. Check the worker''s way to Stripe if it persists.'),
    (20, 'no_response', null, null, null, null, null, null, null, 'unknown', false, false, '0', '2 s', '15 min',
        'no_answer', 'Stripe may have paid. The engine asks again with the same key.'),
    (30, 'unreadable', null, null, null, null, null, null, null, 'unknown', false, false, '0', '10 s', '15 min',
        'unreadable_answer', 'Stripe may have paid. The engine asks again with the same key; look for a proxy in between.'),
    (40, 'lease_expired', null, null, null, null, null, null, null, 'unknown', false, false, '0', '1 s', '1 s',
        'worker_did_not_report', 'A worker died or lost its way. Stripe may have paid; the engine asks again with the same key.'),
    (50, 'key_expired', null, null, null, null, null, null, null, 'park', false, true, '0', '1 s', '1 s',
        'key_too_old_to_send', 'Stripe forgets keys after 24 hours: look the payout_ref up at Stripe; nothing is sent before.'),
    (100, 'response', null, null, null, 'api_key_expired', null, null, null, 'pause', false, true, '0', '1 min', '1 min',
        'stripe_key_refused', 'Give the workers a valid key, then release the hold on the engine.'),
    (101, 'response', null, null, null, 'platform_api_key_expired', null, null, null, 'pause', false, true, '0', '1 min', '1 min',
        'stripe_key_refused', 'Give the workers a valid key, then release the hold on the engine.'),
    (102, 'response', null, null, null, 'testmode_charges_only', null, null, null, 'pause', false, true, '0', '1 min', '1 min',
        'stripe_account_not_live', 'Activate the platform''s Stripe account, then release the hold on the engine.'),
    (103, 'response', null, null, null, 'platform_account_required', null, null, null, 'pause', false, true, '0', '1 min', '1 min',
        'stripe_account_no_platform', 'Use the key of the Connect platform, then release the hold on the engine.'),
    (110, 'response', null, null, null, 'approval_required', null, null, null, 'park', false, true, '0', '1 s', '1 s',
        'stripe_may_execute_later', 'Stripe waits for an approval and then pays by itself. Decide there; never send another key.'),
    (111, 'response', null, null, null, 'action_blocked', null, null, null, 'park', false, true, '0', '1 s', '1 s',
        'stripe_may_execute_later', 'Stripe stopped the action and may carry it out later. Decide in the dashboard.'),
    (112, 'response', null, null, null, 'request_blocked', null, null, null, 'park', false, true, '0', '1 s', '1 s',
        'stripe_may_execute_later', 'Stripe stopped the request and may carry it out later. Decide in the dashboard.'),
    (113, 'response', null, null, null, 'anomalous_money_movement_request', null, null, null, 'park', false, true, '0', '1 s', '1 s',
        'stripe_may_execute_later', 'Stripe found the movement unusual and may carry it out later. Decide in the dashboard.'),
    (114, 'response', 403, 403, null, 'insufficient_capabilities_for_transfer', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'payee_cannot_receive', 'The payee has to complete their Stripe account before anything can be sent to it.'),
    (115, 'response', 403, 403, null, 'transfers_not_allowed', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'payee_cannot_receive', 'Stripe does not allow transfers to this account: contact Stripe.'),
    (116, 'response', 403, 403, null, 'not_allowed_on_standard_account', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'payee_cannot_receive', 'The payee''s account is of a type that takes no transfers.'),
    (117, 'response', 403, 403, null, 'account_invalid', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'payee_account_invalid', 'The account is closed or not connected to this platform: register the payee''s present account.'),
    (118, 'response', 403, 403, null, 'account_closed', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'payee_account_invalid', 'The account is closed: register the payee''s present account.'),
    (120, 'response', 401, 401, null, null, null, null, null, 'pause', false, true, '0', '1 min', '1 min',
        'stripe_key_refused', 'Give the workers a valid key, then release the hold on the engine.'),
    (121, 'response', 403, 403, null, null, null, null, null, 'pause', false, true, '0', '1 min', '1 min',
        'stripe_permission_refused', 'Let the key write transfers, then release the hold on the engine.'),
    (130, 'response', 429, 429, null, null, null, null, true, 'retry', false, false, '0', '1 s', '1 min',
        'rate_limited', 'Stripe takes fewer requests than were sent. The engine slows down by itself.'),
    (131, 'response', 429, 429, null, null, null, null, null, 'retry', false, false, '0', '1 s', '30 s',
        'lock_timeout', 'Another change of the same account was under way at Stripe. The engine asks again.'),
    (132, 'response', 400, 400, null, 'rate_limit', null, null, null, 'retry', false, false, '0', '1 s', '1 min',
        'rate_limited', 'Stripe takes fewer requests than were sent. The engine slows down by itself.'),
    (140, 'response', 409, 409, null, 'idempotency_key_in_use', null, null, null, 'retry', false, false, '20 s', '2 s', '1 min',
        'key_in_use', 'Another send under this key is being answered. The engine asks again.'),
    (141, 'response', 409, 409, null, null, null, null, null, 'unknown', false, false, '20 s', '2 s', '5 min',
        'conflict', 'Stripe saw a conflicting request. The engine asks again with the same key.'),
    (150, 'response', 400, 499, 'idempotency_error', null, null, null, null, 'park', false, true, '0', '1 s', '1 s',
        'key_used_with_other_request', 'This key was sent before with another request: look the payout_ref up at Stripe.'),
    (160, 'response', 400, 402, null, 'balance_insufficient', null, null, null, 'decline_until_funded', true, true, '15 min', '30 min', '12 h',
        'balance_insufficient', 'Add funds in this currency to the platform''s Stripe balance; a new key is tried by itself.'),
    (161, 'response', 400, 402, null, 'insufficient_capabilities_for_transfer', null, null, null, 'decline', true, false, '0', '1 s', '1 s',
        'payee_cannot_receive', 'The payee has to complete their Stripe account before anything can be sent to it.'),
    (162, 'response', 400, 402, null, 'transfers_not_allowed', null, null, null, 'decline', true, false, '0', '1 s', '1 s',
        'payee_cannot_receive', 'Stripe does not allow transfers to this account: contact Stripe.'),
    (163, 'response', 400, 402, null, 'not_allowed_on_standard_account', null, null, null, 'decline', true, false, '0', '1 s', '1 s',
        'payee_cannot_receive', 'The payee''s account is of a type that takes no transfers.'),
    (170, 'response', 400, 404, null, 'resource_missing', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'no_such_account_or_charge', 'Stripe does not know the account or the charge: register the payee''s present account.'),
    (171, 'response', 400, 404, null, 'account_invalid', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'payee_account_invalid', 'The account is closed or not connected to this platform: register the payee''s present account.'),
    (172, 'response', 400, 404, null, 'account_closed', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'payee_account_invalid', 'The account is closed: register the payee''s present account.'),
    (180, 'response', 400, 400, null, 'parameter_missing', null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'request_refused', 'Stripe found the request malformed: report it as a bug of the engine.'),
    (181, 'response', 400, 400, null, 'parameter_unknown', null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'request_refused', 'Stripe found the request malformed: report it as a bug of the engine.'),
    (182, 'response', 400, 400, null, 'parameter_invalid_integer', null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'request_refused', 'Stripe found the amount malformed: report it as a bug of the engine.'),
    (183, 'response', 400, 400, null, 'parameter_invalid_empty', null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'request_refused', 'Stripe found the request malformed: report it as a bug of the engine.'),
    (184, 'response', 400, 400, null, 'parameter_invalid_string_blank', null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'request_refused', 'Stripe found the request malformed: report it as a bug of the engine.'),
    (185, 'response', 400, 400, null, 'parameter_invalid_string_empty', null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'request_refused', 'Stripe found the request malformed: report it as a bug of the engine.'),
    (186, 'response', 400, 400, null, 'parameters_exclusive', null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'request_refused', 'Stripe found the request malformed: report it as a bug of the engine.'),
    (187, 'response', 400, 400, null, 'amount_too_small', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'amount_refused', 'The amount is below Stripe''s minimum for this route: settle it together with later ones.'),
    (188, 'response', 400, 400, null, 'amount_too_large', null, null, null, 'refuse', false, false, '0', '1 s', '1 s',
        'amount_refused', 'The amount is above Stripe''s maximum: settle it in several parts.'),
    (189, 'response', 400, 400, null, 'livemode_mismatch', null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'mode_mismatch', 'Account and key are of different modes (test and live): correct the payee''s account.'),
    (200, 'response', 402, 402, null, null, null, null, null, 'refuse', false, true, '0', '1 s', '1 s',
        'payment_refused', 'Stripe refused with 402, which transfers are not known for: read the answer.'),
    (210, 'response', 500, 500, null, null, true, null, null, 'park', false, true, '0', '1 s', '1 s',
        'error_saved_by_stripe', 'Stripe failed under this key and may still have paid: look the payout_ref up at Stripe.'),
    (211, 'response', 500, 500, null, null, null, 'false', null, 'park', false, true, '0', '1 s', '1 s',
        'error_saved_by_stripe', 'Stripe failed under this key and may still have paid: look the payout_ref up at Stripe.'),
    (212, 'response', 500, 500, null, null, null, null, null, 'unknown', false, false, '5 s', '30 s', '5 min',
        'stripe_failed', 'Stripe may have paid. The engine asks again with the same key.'),
    (213, 'response', 501, 599, null, null, null, null, null, 'unknown', false, false, '0', '5 s', '15 min',
        'stripe_unavailable', 'Stripe may have paid. The engine asks again with the same key.'),
    (214, 'response', 424, 424, null, null, null, null, null, 'unknown', false, false, '0', '5 s', '15 min',
        'stripe_unavailable', 'Stripe may have paid. The engine asks again with the same key.'),
    (999, 'response', null, null, null, null, null, null, null, 'unknown', false, true, '1 min', '5 min', '1 h',
        'unmapped_answer', 'No rule fits this answer. The engine asks again with the same key; read the answer.');

-- frozen: procedures/api/operator/hold.sql ea4dbcc91db7
-- hold: stop sending, for the whole engine or for one currency, payee or settlement.
--
-- Called by: operator. What a worker holds already is still sent.
-- Safe to repeat: the hold that stands is returned.
-- Raises: SP313 a scope, subject or reason that cannot be; SP310 nothing of that name.

create or replace function payout_api.hold(
    p_scope text, p_reason text, p_subject text default null
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean;
begin
    if p_scope is null or p_scope not in ('engine', 'currency', 'payee', 'settlement')
        or (p_scope = 'engine') <> (p_subject is null)
        or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot hold % % for reason %', coalesce(p_scope, 'null'),
            coalesce(p_subject, 'without subject'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Scopes: engine (no subject), currency, payee, settlement; give a reason.';
    end if;
    v_exists := case p_scope
        when 'engine' then true
        when 'currency' then exists (
            select from payout.currencies as c where c.currency = p_subject)
        when 'payee' then exists (select from payout.payees as p where p.payee_id = p_subject)
        else exists (select from payout.settlements as s where s.settlement_id = p_subject)
    end;
    if not v_exists then
        raise exception 'there is no % % to hold', p_scope, p_subject
            using
                errcode = 'SP310',
                hint = 'Currencies are written in lower case; look for the exact id.';
    end if;
    return payout.place_hold(p_scope, p_subject, p_reason);
end
$$;
comment on function payout_api.hold(text, text, text) is
    'Stops new sends of a scope (engine, currency, payee, settlement) until the hold is released.';
revoke execute on function payout_api.hold(text, text, text) from public;
grant execute on function payout_api.hold(text, text, text) to payout_operator;
-- end frozen: procedures/api/operator/hold.sql

-- frozen: procedures/api/operator/release_hold.sql a219d55052c4
-- release_hold: let what was held be sent again.
--
-- Called by: operator.
-- Safe to repeat: releasing a released hold changes nothing.
-- Locks: the hold's row.
-- Raises: SP310 unknown hold; SP313 no reason.

create or replace function payout_api.release_hold(p_hold_id bigint, p_reason text)
returns payout.holds
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold payout.holds;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot release hold % without a reason', p_hold_id
            using
                errcode = 'SP313',
                hint = 'Say what was done about it.';
    end if;

    select * into v_hold
    from payout.holds as h
    where h.hold_id = p_hold_id
    for update;

    if not found then
        raise exception 'hold % does not exist', p_hold_id
            using
                errcode = 'SP310',
                hint = 'select * from payout.holds where released_at is null';
    end if;

    if v_hold.released_at is not null then
        return v_hold;
    end if;

    update payout.holds as h
    set released_at = payout.clock(),
        released_by = session_user,
        release_reason = p_reason
    where h.hold_id = p_hold_id
    returning * into v_hold;

    insert into payout.operator_actions (action, subject, reason, details)
    values ('release', concat_ws(' ', v_hold.scope, v_hold.subject), p_reason,
        jsonb_build_object('hold_id', p_hold_id));
    return v_hold;
end
$$;
comment on function payout_api.release_hold(bigint, text) is
    'Releases a hold with a reason; the sweep then rings for what is due. Safe to repeat.';
revoke execute on function payout_api.release_hold(bigint, text) from public;
grant execute on function payout_api.release_hold(bigint, text) to payout_operator;
-- end frozen: procedures/api/operator/release_hold.sql

-- frozen: procedures/api/worker/claim_transfers.sql e124c8f56b3d
-- claim_transfers: hand a worker the transfers that are due, each under a lease.
--
-- Called by: worker. One call serves many transfers; nobody waits for anybody.
-- Not handed out: what is on hold, and what was first sent under its key longer
-- ago than the send window, because Stripe may have forgotten the key.
-- Raises: SP401 a server that may lose the claim; SP311 a limit out of range.

create or replace function payout_api.claim_transfers(
    p_worker text, p_limit integer default 100, p_payout_job_id bigint default null
)
returns table (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    idempotency_key text,
    request jsonb,
    lease_seconds double precision,
    deadline_seconds double precision
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    v_settings payout.engine_settings;
    v_now timestamptz := payout.clock();
begin
    perform payout.refuse_unsafe_server();
    select * into strict v_settings from payout.engine_settings;

    if p_worker is null or coalesce(p_limit, 0) not between 1 and v_settings.largest_claim then
        raise exception 'claim of % transfers by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'nobody')
            using
                errcode = 'SP311',
                hint = format('Name the worker, ask for 1 to %s.', v_settings.largest_claim);
    end if;

    if exists (
        select from payout.holds as h where h.scope = 'engine' and h.released_at is null
    ) then
        return;
    end if;

    return query
    with claimed as (
        update payout.transfer_states as s
        set state = 'in_flight',
            attempt = s.attempt + 1,
            lease_until = v_now + v_settings.lease_for,
            next_attempt_at = null,
            first_sent_at = coalesce(s.first_sent_at, v_now),
            changed_at = v_now
        from payout.lock_due_transfers(
            v_now, v_now - v_settings.send_window_for, p_limit, p_payout_job_id) as d
        where s.payout_transfer_id = d.payout_transfer_id
        returning s.*
    ), opened as (
        insert into payout.transfer_attempts (
            payout_transfer_id, generation, attempt, worker, claimed_at, lease_until)
        select c.payout_transfer_id, c.generation, c.attempt, p_worker, v_now, c.lease_until
        from claimed as c
    )
    select
        c.payout_transfer_id, c.generation, c.attempt,
        t.payout_ref || ':' || c.generation,
        t.request,
        extract(epoch from v_settings.lease_for)::double precision,
        extract(epoch from v_settings.http_deadline_for)::double precision
    from claimed as c
    join payout.payout_transfers as t on t.payout_transfer_id = c.payout_transfer_id;
end
$$;
comment on function payout_api.claim_transfers(text, integer, bigint) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine is on hold. Seconds count from before the call.';
revoke execute on function payout_api.claim_transfers(text, integer, bigint) from public;
grant execute on function payout_api.claim_transfers(text, integer, bigint) to payout_worker;
-- end frozen: procedures/api/worker/claim_transfers.sql

-- frozen: procedures/api/worker/report_outcomes.sql 9217465b1c18
-- report_outcomes: take what workers saw of Stripe, decide what it means, keep the books.
--
-- Called by: worker. One call serves many transfers.
-- Safe to repeat: a report that was taken before answers `already`.
-- Locks: the transfers' progress rows, in id order.
-- Raises: SP312 malformed outcomes; then nothing of the call is taken.

create or replace function payout_api.report_outcomes(p_outcomes jsonb)
returns table (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    verdict text,
    state text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_outcomes payout.outcome[] := payout.read_outcomes(p_outcomes);
    v_turns bigint[];
    v_known integer;
begin
    perform
    from payout.transfer_states as s
    where s.payout_transfer_id = any (array(
        select o.payout_transfer_id from unnest(v_outcomes) as o))
    order by s.payout_transfer_id
    for update;
    get diagnostics v_known = row_count;

    -- Two outcomes of one transfer are judged one after the other.
    v_turns := array(
        select row_number() over (partition by o.payout_transfer_id order by o.ordinality)
        from unnest(v_outcomes) with ordinality as o
        order by o.ordinality);

    for v_turn in 1 .. (
        select coalesce(max(t.turn), 0)::integer from unnest(v_turns) as t (turn)
    ) loop
        return query
        select * from payout.record_outcomes(array(
            select v_outcomes[i]
            from generate_subscripts(v_outcomes, 1) as i
            where v_turns[i] = v_turn));
    end loop;

    if v_known < (select count(distinct o.payout_transfer_id) from unnest(v_outcomes) as o) then
        return query
        select * from payout.record_unknown_transfers(v_outcomes);
    end if;
end
$$;
comment on function payout_api.report_outcomes(jsonb) is
    'Takes an array of payout.outcome objects; answers ok, already, stale or alarm and the state '
    'for each. Every outcome is stored, whatever the answer.';
revoke execute on function payout_api.report_outcomes(jsonb) from public;
grant execute on function payout_api.report_outcomes(jsonb) to payout_worker;
-- end frozen: procedures/api/worker/report_outcomes.sql

-- frozen: procedures/api/worker/sweep.sql 8caf58ecb520
-- sweep: do what is due and has nobody to do it.
--
-- Called by: every worker every few seconds, operators when they like.
-- Safe to repeat, and at once from many places: each row is taken by one.
-- Raises: SP311 a limit that is none.

create or replace function payout_api.sweep(p_limit integer default 1000)
returns table (
    leases_expired integer,
    transfers_parked integer,
    transfers_reopened integer,
    doorbells_rung integer
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'sweep of % transfers', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;
    return query
    select
        payout.expire_leases(v_now, p_limit),
        payout.park_expired_keys(v_now, p_limit),
        payout.reopen_declined(v_now, p_limit),
        0;  -- there is no queue yet
end
$$;
comment on function payout_api.sweep(integer) is
    'Closes leases that ran out, parks what is too old to send, opens new keys where rule K '
    'allows; up to p_limit of each. Returns how many.';
revoke execute on function payout_api.sweep(integer) from public;
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
-- end frozen: procedures/api/worker/sweep.sql

-- frozen: procedures/execution/answers_request.sql 552c418556e0
-- answers_request: whether an answer is the very transfer that was asked for.

create or replace function payout.answers_request(
    p_outcome payout.outcome, p_transfer payout.payout_transfers
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        p_outcome.object = 'transfer'
        and p_outcome.stripe_transfer_id ~ '^tr_[A-Za-z0-9_]+$'
        and length(p_outcome.stripe_transfer_id) <= 255
        and p_outcome.amount_minor = p_transfer.amount_minor
        and p_outcome.currency = p_transfer.currency
        and p_outcome.destination = p_transfer.destination
        and p_outcome.payout_ref = p_transfer.payout_ref
        and p_outcome.is_livemode is not null,
        false);
end
$$;
comment on function payout.answers_request(payout.outcome, payout.payout_transfers) is
    'True when object, id, amount, currency, destination, mode and payout_ref are those asked for.';
-- end frozen: procedures/execution/answers_request.sql

-- frozen: procedures/execution/backoff.sql 9824b5e17279
-- backoff: how long to wait before the next try.
--
-- Exponential with a cap and full jitter, so that many transfers that failed
-- together do not come back together.

create or replace function payout.backoff(p_rule payout.stripe_error_rules, p_tries integer)
returns interval
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        p_rule.wait_at_least
            + random() * least(p_rule.wait_cap, p_rule.wait_base * 2 ^ least(p_tries, 30)),
        interval '5 minutes');
end
$$;
comment on function payout.backoff(payout.stripe_error_rules, integer) is
    'The rule''s floor plus a random part of its base, doubled for each earlier try up to its cap.';
-- end frozen: procedures/execution/backoff.sql

-- frozen: procedures/execution/expire_leases.sql ae31ce8b156b
-- expire_leases: transfers whose worker did not come back become unknown.
--
-- A lease that ends further ahead than any is given was written by a clock that
-- has since been set back: nobody knows how old its key is, so it is parked.
-- Locks: their progress rows; a row that a report has locked is skipped.

create or replace function payout.expire_leases(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_parked integer;
    v_expired integer;
begin
    with expired as (
        select s.payout_transfer_id, s.generation, s.attempt,
            case
                when s.lease_until > p_now then 'clock_was_set_back'
                when s.tries + 1 >= e.max_tries then 'tries_used_up_worker_did_not_report'
                else 'worker_did_not_report'
            end as reason
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.lease_until < p_now or s.lease_until > p_now + 2 * e.lease_for
        order by s.lease_until
        limit p_limit
        for update of s skip locked
    ), judged as (
        select x.*, case x.reason when 'worker_did_not_report' then 'unknown' else 'parked' end
            as to_state
        from expired as x
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id)
        select j.payout_transfer_id, j.generation, j.attempt, 'lease_expired', 'ok', j.to_state,
            j.reason, r.error_rule_id
        from judged as j
        left join payout.stripe_error_rules as r on r.signal = 'lease_expired'
    ), moved as (
        update payout.transfer_states as s
        set state = j.to_state,
            lease_until = null,
            next_attempt_at = case j.to_state when 'unknown' then p_now end,
            tries = s.tries + 1,
            has_unknown_send = true,
            reason = j.reason,
            changed_at = p_now
        from judged as j
        where s.payout_transfer_id = j.payout_transfer_id
        returning s.state
    )
    select (count(*) filter (where m.state = 'parked'))::integer, count(*)::integer
    into v_parked, v_expired
    from moved as m;

    if v_parked > 0 then
        perform pg_notify('payout_alarms', 'transfers_parked');
    end if;
    return v_expired;
end
$$;
comment on function payout.expire_leases(timestamptz, integer) is
    'Closes up to p_limit leases that ran out: unknown and due at once, or parked when the tries '
    'are used up. Returns how many.';
-- end frozen: procedures/execution/expire_leases.sql

-- frozen: procedures/execution/held_subjects.sql 4268bec185f1
-- held_subjects: what is on hold in one scope.

create or replace function payout.held_subjects(p_scope text)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select h.subject
        from payout.holds as h
        where h.scope = p_scope
            and h.released_at is null)
$$;
comment on function payout.held_subjects(text) is
    'The currencies, payees or settlements with an open hold.';
-- end frozen: procedures/execution/held_subjects.sql

-- frozen: procedures/execution/is_only_send.sql 14186fa08c8f
-- is_only_send: whether every other attempt under the key was surely never executed.
--
-- A refusal that Stripe does not save says nothing of another send. Only one
-- that never left, or was turned away at the door (401, 403, 429), is surely
-- without effect; a 409 speaks of a send that is being executed.

create or replace function payout.is_only_send(p_state payout.transfer_states)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select not p_state.has_unknown_send and not exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_state.payout_transfer_id
            and o.generation = p_state.generation
            and o.attempt <> p_state.attempt
            and o.signal <> 'not_sent'
            and coalesce(o.http_status, 0) not in (401, 403, 429)
    )
$$;
comment on function payout.is_only_send(payout.transfer_states) is
    'True when no attempt but the newest can have had an effect under the current key.';
-- end frozen: procedures/execution/is_only_send.sql

-- frozen: procedures/execution/judge_decline.sql e8c2467d5460
-- judge_decline: Stripe refused the newest attempt, for good under this key.
--
-- It settles the transfer, but not while another attempt may still be on its
-- way; and a refusal that Stripe does not save only when nothing else was sent.

create or replace function payout.judge_decline(
    p_judgement payout.judgement,
    p_rule payout.stripe_error_rules,
    p_state payout.transfer_states,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement := p_judgement;
    v_others_drain_at timestamptz := payout.other_attempts_drain_at(p_state);
    v_may_have_another_key boolean := p_rule.reaction = 'decline_until_funded'
        and p_state.generation < p_settings.max_generations;
begin
    if v_others_drain_at > payout.clock() then
        v_judgement.to_state := 'unknown';
        v_judgement.reason := 'declined_while_another_attempt_is_open';
        v_judgement.next_attempt_at := v_others_drain_at;
        return v_judgement;
    end if;

    if p_rule.reaction = 'refuse' and not payout.is_only_send(p_state) then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        return v_judgement;
    end if;

    v_judgement.to_state := 'failed';
    if not v_may_have_another_key then
        v_judgement.next_attempt_at := null;
    end if;
    if p_rule.reaction = 'decline_until_funded' and not v_may_have_another_key then
        v_judgement.reason := 'keys_used_up_' || p_rule.reason;
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_decline(
    payout.judgement, payout.stripe_error_rules, payout.transfer_states, payout.engine_settings
) is 'Failed, with or without a later key; unknown while another attempt is open; parked in doubt.';
-- end frozen: procedures/execution/judge_decline.sql

-- frozen: procedures/execution/judge_failure.sql d205f9c2a834
-- judge_failure: the newest attempt came back without a success.
--
-- `surely not executed` speaks only of this send: after an unknown one the
-- transfer stays unknown. An answer that no rule knows is unknown too.

create or replace function payout.judge_failure(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
    v_rule payout.stripe_error_rules := payout.match_error_rule(p_outcome);
begin
    v_judgement.verdict := 'ok';
    v_judgement.error_rule_id := v_rule.error_rule_id;
    v_judgement.reason := coalesce(v_rule.reason, 'unmapped_answer');
    v_judgement.is_alarm := coalesce(v_rule.is_alarm, true);
    v_judgement.pauses_engine := v_rule.reaction = 'pause';
    v_judgement.counts_as_try := v_rule.reaction is distinct from 'pause';
    v_judgement.leaves_unknown := coalesce(v_rule.reaction in ('unknown', 'park'), true);
    v_judgement.next_attempt_at := payout.clock() + greatest(
        payout.backoff(v_rule, p_state.tries + p_state.generation - 1),
        make_interval(
            secs => greatest(least(coalesce(p_outcome.retry_after_seconds, 0), 3600), 0)));

    if v_rule.reaction in ('decline', 'decline_until_funded', 'refuse') then
        return payout.judge_decline(v_judgement, v_rule, p_state, p_settings);
    elsif v_rule.reaction = 'park' then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
    elsif v_judgement.counts_as_try and p_state.tries + 1 >= p_settings.max_tries then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        v_judgement.reason := 'tries_used_up_' || v_judgement.reason;
        v_judgement.is_alarm := true;
    elsif v_rule.reaction in ('retry', 'pause') and not p_state.has_unknown_send then
        v_judgement.to_state := 'retry_wait';
    else
        v_judgement.to_state := 'unknown';
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_failure(
    payout.outcome, payout.transfer_states, payout.engine_settings
) is
    'Judges an outcome that is no success by payout.stripe_error_rules: retry_wait, unknown, '
    'parked, or as judge_decline says.';
-- end frozen: procedures/execution/judge_failure.sql

-- frozen: procedures/execution/judge_outcome.sql 2e0b66520324
-- judge_outcome: what one outcome means for its transfer, as both stand now.
--
-- A success is a fact whatever the attempt. Anything else counts only from the
-- newest attempt while it is in flight: the fence against zombies.

create or replace function payout.judge_outcome(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    -- Serials are handed out again after a promotion, keys are not.
    if p_outcome.idempotency_key <> p_transfer.payout_ref || ':' || p_outcome.generation then
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'report_of_another_transfer';
        v_judgement.is_alarm := true;
        return v_judgement;
    end if;

    if p_outcome.signal = 'response' and p_outcome.http_status between 200 and 299 then
        return payout.judge_success(p_outcome, p_state, p_transfer, p_settings);
    end if;

    if p_state.state = 'in_flight'
        and p_state.generation = p_outcome.generation
        and p_state.attempt = p_outcome.attempt then
        return payout.judge_failure(p_outcome, p_state, p_settings);
    end if;

    v_judgement.verdict := case
        when exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = p_outcome.payout_transfer_id
                and o.attempt = p_outcome.attempt
                and o.generation = p_outcome.generation
                and o.signal = p_outcome.signal
                and o.verdict = 'ok'
        ) then 'already'
        else 'stale'
    end;
    v_judgement.is_alarm := false;
    return v_judgement;
end
$$;
comment on function payout.judge_outcome(
    payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is 'Verdict, next state and reason for one reported outcome; changes nothing.';
-- end frozen: procedures/execution/judge_outcome.sql

-- frozen: procedures/execution/judge_success.sql 6769748c2664
-- judge_success: Stripe says that it made a transfer.
--
-- It counts when it is the transfer that was asked for, under the key that is
-- current, whatever the attempt. Everything else is an alarm: stored, a person
-- is called, and nothing more is sent for this transfer meanwhile.

create or replace function payout.judge_success(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    v_judgement.reason := case
        when not payout.answers_request(p_outcome, p_transfer)
            or p_outcome.is_livemode <> p_settings.is_livemode then 'answer_contradicts_request'
        when p_state.stripe_transfer_id = p_outcome.stripe_transfer_id then 'known'
        when p_state.state = 'paid' then 'second_transfer_at_stripe'
        when p_outcome.generation <> p_state.generation
            or p_state.state in ('scheduled', 'failed', 'cancelled')
            then 'success_under_closed_key'
        when exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = p_outcome.stripe_transfer_id
        ) then 'stripe_id_of_another_transfer'
    end;

    if v_judgement.reason is null then
        v_judgement.verdict := 'ok';
        v_judgement.to_state := 'paid';
    elsif v_judgement.reason = 'known' or exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.attempt = p_outcome.attempt
            and o.generation = p_outcome.generation
            and o.verdict = 'alarm'
            and o.stripe_transfer_id is not distinct from p_outcome.stripe_transfer_id
    ) then
        v_judgement.verdict := 'already';
        v_judgement.reason := null;
    else
        v_judgement.verdict := 'alarm';
        v_judgement.is_alarm := true;
        if p_state.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown') then
            v_judgement.to_state := 'parked';
            v_judgement.leaves_unknown := true;
        end if;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_success(
    payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is 'Judges a 2xx answer: paid, already known, or an alarm that parks what is still open.';
-- end frozen: procedures/execution/judge_success.sql

-- frozen: procedures/execution/lock_due_transfers.sql 49e348ca5252
-- lock_due_transfers: the transfers whose turn it is, locked, oldest first.
--
-- A key that was first sent in the future, by a clock that has since been set
-- back, is of no known age and is not sent. Few rows are foretold, and holds are
-- asked in a case, so that the planner walks the due index and not the history.
-- Locks: their progress rows; rows that somebody else has locked are skipped.

create or replace function payout.lock_due_transfers(
    p_now timestamptz,
    p_first_sent_after timestamptz,
    p_limit integer,
    p_payout_job_id bigint
)
returns table (payout_transfer_id bigint, doorbell_id bigint)
language plpgsql
volatile
rows 20
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
    return query
    select s.payout_transfer_id, s.doorbell_id
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.next_attempt_at <= p_now
        and s.state in ('scheduled', 'retry_wait', 'unknown')
        and (s.first_sent_at is null
            or (s.first_sent_at > p_first_sent_after and s.first_sent_at <= p_now))
        and (p_payout_job_id is null or t.payout_job_id = p_payout_job_id)
        and not case
            when t.currency = any ((select payout.held_subjects('currency'))::text[]) then true
            when t.payee_id = any ((select payout.held_subjects('payee'))::text[]) then true
            else t.settlement_id = any ((select payout.held_subjects('settlement'))::text[])
        end
    order by s.next_attempt_at
    limit p_limit
    for update of s skip locked;
end
$$;
comment on function payout.lock_due_transfers(timestamptz, timestamptz, integer, bigint) is
    'Locks and returns up to p_limit due transfers that are not on hold and whose key is young '
    'enough to be sent.';
-- end frozen: procedures/execution/lock_due_transfers.sql

-- frozen: procedures/execution/match_error_rule.sql 06b214197b84
-- match_error_rule: the first rule that fits an outcome.

create or replace function payout.match_error_rule(p_outcome payout.outcome)
returns payout.stripe_error_rules
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select r
    from payout.stripe_error_rules as r
    where r.signal = p_outcome.signal
        and (r.http_status_from is null
            or p_outcome.http_status between r.http_status_from and r.http_status_to)
        and (r.error_type is null or r.error_type = p_outcome.error_type)
        and (r.error_code is null or r.error_code = p_outcome.error_code)
        and (r.is_replayed is null or r.is_replayed = coalesce(p_outcome.is_replayed, false))
        and (r.should_retry is null or r.should_retry = p_outcome.should_retry)
        and (r.is_rate_limited is null
            or r.is_rate_limited = (p_outcome.rate_limited_reason is not null))
    order by r.error_rule_id
    limit 1
$$;
comment on function payout.match_error_rule(payout.outcome) is
    'The rule that says what an outcome without success means; the last rule of a signal fits all.';
-- end frozen: procedures/execution/match_error_rule.sql

-- frozen: procedures/execution/other_attempts_drain_at.sql aa2701e2314c
-- other_attempts_drain_at: until when an earlier attempt under this key may still be on its way.
--
-- An attempt is open from its claim until its worker reports, or until long
-- after its lease when nobody ever does.

create or replace function payout.other_attempts_drain_at(p_state payout.transfer_states)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(a.lease_until + e.attempt_drain_for)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    where a.payout_transfer_id = p_state.payout_transfer_id
        and a.generation = p_state.generation
        and a.attempt <> p_state.attempt
        and not exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = a.payout_transfer_id
                and o.generation = a.generation
                and o.attempt = a.attempt
                and o.signal not in ('lease_expired', 'key_expired')
        )
$$;
comment on function payout.other_attempts_drain_at(payout.transfer_states) is
    'When the last unreported other attempt of the current key counts as over; null: none is open.';
-- end frozen: procedures/execution/other_attempts_drain_at.sql

-- frozen: procedures/execution/park_expired_keys.sql 0be606c40b07
-- park_expired_keys: what was first sent too long ago is not sent again.
--
-- Stripe may forget a key after 24 hours; a send after that would be a new
-- transfer. Only a look at what Stripe has can settle these. A first send in
-- the future means a clock that was set back, hence a key of unknown age.

create or replace function payout.park_expired_keys(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_parked integer;
begin
    with expired as (
        select s.payout_transfer_id, s.generation, s.attempt,
            case when s.first_sent_at > p_now then 'clock_was_set_back' else 'key_too_old_to_send'
            end as reason
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.next_attempt_at is not null
            and s.state in ('retry_wait', 'unknown')
            and ((s.next_attempt_at <= p_now and s.first_sent_at <= p_now - e.send_window_for)
                or s.first_sent_at > p_now)
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id)
        select x.payout_transfer_id, x.generation, x.attempt, 'key_expired', 'ok', 'parked',
            x.reason, r.error_rule_id
        from expired as x
        left join payout.stripe_error_rules as r on r.signal = 'key_expired'
    ), moved as (
        update payout.transfer_states as s
        set state = 'parked',
            next_attempt_at = null,
            reason = x.reason,
            changed_at = p_now
        from expired as x
        where s.payout_transfer_id = x.payout_transfer_id
        returning 1
    )
    select count(*)::integer into v_parked from moved;

    if v_parked > 0 then
        perform pg_notify('payout_alarms', 'transfers_parked');
    end if;
    return v_parked;
end
$$;
comment on function payout.park_expired_keys(timestamptz, integer) is
    'Parks up to p_limit transfers whose key is older than the send window, or of unknown age. '
    'Returns how many.';
-- end frozen: procedures/execution/park_expired_keys.sql

-- frozen: procedures/execution/place_hold.sql 3e375a6adec5
-- place_hold: stop sending for the engine, a currency, a payee or a settlement.
--
-- Safe to repeat: what is on hold stays on hold, once.

create or replace function payout.place_hold(p_scope text, p_subject text, p_reason text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold_id bigint;
begin
    insert into payout.holds (scope, subject, reason)
    values (p_scope, p_subject, p_reason)
    on conflict do nothing
    returning hold_id into v_hold_id;

    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('hold', concat_ws(' ', p_scope, p_subject), p_reason,
            jsonb_build_object('hold_id', v_hold_id));
        return v_hold_id;
    end if;

    select h.hold_id into v_hold_id
    from payout.holds as h
    where h.scope = p_scope
        and h.subject is not distinct from p_subject
        and h.released_at is null;
    return v_hold_id;
end
$$;
comment on function payout.place_hold(text, text, text) is
    'Places a hold unless there is one, notes it in operator_actions, returns its hold_id.';
-- end frozen: procedures/execution/place_hold.sql

-- frozen: procedures/execution/raise_alarm.sql 6dc2bfb90500
-- raise_alarm: call a person, and stop what must not go on meanwhile.
--
-- Called by: record_outcomes, for each judgement that is an alarm.
-- An alarm freezes the settlement; a refused key holds the engine.

create or replace function payout.raise_alarm(
    p_outcome payout.outcome, p_judgement payout.judgement
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_transfer payout.payout_transfers;
begin
    perform pg_notify('payout_alarms', p_judgement.reason);

    if p_judgement.pauses_engine then
        perform payout.place_hold('engine', null, p_judgement.reason);
    end if;

    if p_judgement.verdict <> 'alarm' and p_judgement.to_state is distinct from 'parked' then
        return p_judgement.reason;
    end if;

    select * into strict v_transfer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_outcome.payout_transfer_id;

    insert into payout.discrepancies (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice)
    values (
        p_judgement.reason, v_transfer.payout_transfer_id, p_outcome.stripe_transfer_id,
        v_transfer.request, jsonb_strip_nulls(to_jsonb(p_outcome)),
        coalesce(
            (select r.advice from payout.stripe_error_rules as r
                where r.error_rule_id = p_judgement.error_rule_id),
            'Look the payout_ref up at Stripe and compare; nothing of this settlement is sent '
            'until its hold is released.'));

    if p_judgement.verdict = 'alarm' then
        perform payout.place_hold('settlement', v_transfer.settlement_id, p_judgement.reason);
    end if;
    return p_judgement.reason;
end
$$;
comment on function payout.raise_alarm(payout.outcome, payout.judgement) is
    'Notifies channel payout_alarms, records a discrepancy, holds the settlement or the engine; '
    'returns the reason.';
-- end frozen: procedures/execution/raise_alarm.sql

-- frozen: procedures/execution/read_outcomes.sql 3eefb7bc9ffc
-- read_outcomes: reported outcomes out of the JSON that a worker sends.
--
-- What names the attempt must be right. Of the rest, which comes from the
-- network, a part of the wrong type is dropped: the outcome still counts, and a
-- success without its amount contradicts its request.
-- Raises: SP312 not an array of outcomes, naming the element.

create or replace function payout.read_outcomes(p_outcomes jsonb)
returns payout.outcome[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' then
        v_problem := 'p_outcomes is not an array';
    else
        select format('outcome %s %s', e.position, c.problem) into v_problem
        from jsonb_array_elements(p_outcomes) with ordinality as e (outcome, position)
        cross join lateral (select case
            when jsonb_typeof(e.outcome) <> 'object' then 'is not an object'
            when coalesce(e.outcome ->> 'payout_transfer_id', '') !~ '^[0-9]{1,18}$'
                then 'has no whole number payout_transfer_id'
            when coalesce(e.outcome ->> 'generation', '') !~ '^[0-9]{1,9}$'
                then 'has no whole number generation'
            when coalesce(e.outcome ->> 'attempt', '') !~ '^[0-9]{1,9}$'
                then 'has no whole number attempt'
            when coalesce(e.outcome ->> 'signal', '') not in (
                'response', 'unreadable', 'no_response', 'not_sent')
                then 'has no signal out of response, unreadable, no_response, not_sent'
        end) as c (problem)
        where c.problem is not null
        order by e.position
        limit 1;
    end if;
    if v_problem is not null then
        raise exception '%', v_problem
            using
                errcode = 'SP312',
                hint = 'comment on type payout.outcome says what an outcome is.';
    end if;

    return array(
        select jsonb_populate_record(null::payout.outcome, e.outcome - array(
            select f.key
            from jsonb_each_text(e.outcome) as f
            where (f.key = 'http_status' and f.value !~ '^[0-9]{3}$')
                or (f.key in ('amount_minor', 'amount_reversed_minor')
                    and f.value !~ '^-?[0-9]{1,18}$')
                or (f.key = 'retry_after_seconds' and f.value !~ '^[0-9]{1,9}([.][0-9]{1,9})?$')
                or (f.key in ('is_replayed', 'is_livemode') and f.value not in ('true', 'false'))))
        from jsonb_array_elements(p_outcomes) with ordinality as e (outcome, position)
        order by e.position);
end
$$;
comment on function payout.read_outcomes(jsonb) is
    'Reported outcomes in the order they came; SP312 when one cannot be read.';
-- end frozen: procedures/execution/read_outcomes.sql

-- frozen: procedures/execution/record_outcomes.sql 9fd8700130f6
-- record_outcomes: judge outcomes of different transfers and write what follows.
--
-- Called by: report_outcomes, which holds the locks on their progress rows.

create or replace function payout.record_outcomes(p_outcomes payout.outcome[])
returns table (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    verdict text,
    state text
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
    return query
    with judged as materialized (
        select o as outcome, j as judgement, o.*, j.*, s.generation as current_generation,
            s.state as former_state, t.amount_minor as owed_minor, t.currency as owed_currency,
            t.payee_id
        from unnest(p_outcomes) as o
        join payout.transfer_states as s on s.payout_transfer_id = o.payout_transfer_id
        join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
        cross join lateral payout.judge_outcome(
            o, s, t, (select e from payout.engine_settings as e)) as j
        order by o.payout_transfer_id
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id, http_status, error_type, error_code, is_replayed, stripe_transfer_id,
            stripe_request_id, facts)
        select
            j.payout_transfer_id, j.generation, j.attempt, j.signal, j.verdict, j.to_state,
            j.reason, j.error_rule_id, j.http_status, j.error_type, j.error_code, j.is_replayed,
            j.stripe_transfer_id, j.stripe_request_id, payout.remaining_facts(j.outcome)
        from judged as j
    ), moved as (
        update payout.transfer_states as s
        set state = j.to_state,
            lease_until = null,
            next_attempt_at = case when j.to_state <> 'paid' then j.next_attempt_at end,
            stripe_transfer_id = case when j.to_state = 'paid' then j.stripe_transfer_id end,
            tries = s.tries + coalesce(j.counts_as_try, false)::integer,
            has_unknown_send = s.has_unknown_send or coalesce(j.leaves_unknown, false),
            reason = j.reason,
            changed_at = payout.clock()
        from judged as j
        where s.payout_transfer_id = j.payout_transfer_id and j.to_state is not null
    ), stopped as (
        -- Rule K must not open a new key behind an alarm's back.
        update payout.transfer_states as s
        set next_attempt_at = null
        from judged as j
        where s.payout_transfer_id = j.payout_transfer_id and j.former_state = 'failed'
            and j.is_alarm and j.reason <> 'report_of_another_transfer'
    ), booked as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency)
        select j.payout_transfer_id, case j.to_state when 'paid' then 'paid' else 'release' end,
            j.current_generation, 'in_flight',
            case j.to_state when 'paid' then 'stripe_balance' else 'payable:' || j.payee_id end,
            j.owed_minor, j.owed_currency
        from judged as j where j.to_state in ('paid', 'failed')
    ), called as (
        select count(payout.raise_alarm(j.outcome, j.judgement)) as alarms
        from judged as j where j.is_alarm
    )
    select j.payout_transfer_id, j.generation, j.attempt, j.verdict,
        coalesce(j.to_state, j.former_state::text)
    from judged as j
    -- Named in a condition because a query that nobody asks is not run.
    where (select c.alarms from called as c) >= 0;
end
$$;
comment on function payout.record_outcomes(payout.outcome[]) is
    'Stores outcomes with their judgement, moves the transfers, books paid and released money.';
-- end frozen: procedures/execution/record_outcomes.sql

-- frozen: procedures/execution/record_unknown_transfers.sql 45cdf5ecf1b6
-- record_unknown_transfers: outcomes of transfers that this database does not have.
--
-- A restored or promoted database may have forgotten what a worker was sent to
-- do. What Stripe did is a fact all the same: it is kept and a person is called.

create or replace function payout.record_unknown_transfers(p_outcomes payout.outcome[])
returns table (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    verdict text,
    state text
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with recorded as (
        insert into payout.discrepancies (kind, stripe_transfer_id, theirs, advice)
        select 'report_of_unknown_transfer', o.stripe_transfer_id, jsonb_strip_nulls(to_jsonb(o)),
            'This database does not know the transfer: was it restored or promoted? Look the '
            'payout_ref up at Stripe before anything is sent.'
        from unnest(p_outcomes) as o
        where not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = o.payout_transfer_id
        )
        returning theirs
    )
    select
        (r.theirs ->> 'payout_transfer_id')::bigint, (r.theirs ->> 'generation')::integer,
        (r.theirs ->> 'attempt')::integer, 'alarm', null::text
    from recorded as r;

    if found then
        perform pg_notify('payout_alarms', 'report_of_unknown_transfer');
    end if;
end
$$;
comment on function payout.record_unknown_transfers(payout.outcome[]) is
    'Stores outcomes of unknown transfers as discrepancies and answers alarm for each.';
-- end frozen: procedures/execution/record_unknown_transfers.sql

-- frozen: procedures/execution/refuse_unsafe_server.sql 756ae7ec6549
-- refuse_unsafe_server: a claim that a crash could undo must not be handed out.
--
-- The first send under a key starts the key's clock. A server that may forget
-- it could send again after Stripe has forgotten the key.
-- Raises: SP401 the server does not keep what it commits.

create or replace function payout.refuse_unsafe_server()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    v_problem := case
        when pg_is_in_recovery() then 'the server is in recovery'
        when current_setting('fsync') = 'off' then 'fsync is off'
        when current_setting('synchronous_commit') in ('off', 'local')
            then 'synchronous_commit is ' || current_setting('synchronous_commit')
    end;
    if v_problem is not null then
        raise exception 'no transfer is handed out while %', v_problem
            using
                errcode = 'SP401',
                hint = 'A claim must be as durable as the transfer it allows.';
    end if;
end
$$;
comment on function payout.refuse_unsafe_server() is
    'Refuses to go on when a commit could be lost: recovery, fsync or synchronous_commit off.';
-- end frozen: procedures/execution/refuse_unsafe_server.sql

-- frozen: procedures/execution/remaining_facts.sql c202e4b57ded
-- remaining_facts: the parts of an outcome that have no column of their own.

create or replace function payout.remaining_facts(p_outcome payout.outcome)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_strip_nulls(to_jsonb(p_outcome) - array[
        'payout_transfer_id', 'generation', 'attempt', 'idempotency_key', 'signal', 'http_status',
        'error_type', 'error_code', 'is_replayed', 'stripe_transfer_id', 'stripe_request_id']);
end
$$;
comment on function payout.remaining_facts(payout.outcome) is
    'What transfer_observations.facts keeps of an outcome; absent parts are left out.';
-- end frozen: procedures/execution/remaining_facts.sql

-- frozen: procedures/execution/reopen_declined.sql 77eefde7c4c0
-- reopen_declined: give transfers that were declined for lack of funds a new key when due.
--
-- Rule K, first case: the former key ended in a decline that Stripe has saved,
-- no other attempt was open (judge_failure saw to it), and no key of this
-- transfer ever saw a success. The decline is the evidence, named by the row.

create or replace function payout.reopen_declined(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_ids bigint[];
begin
    v_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.next_attempt_at <= p_now
            and s.state = 'failed'
            and s.generation < e.max_generations
            and payout.saved_decline(s) is not null
            and not exists (
                select from payout.transfer_observations as o
                where o.payout_transfer_id = s.payout_transfer_id
                    and o.stripe_transfer_id is not null
            )
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

    insert into payout.key_generations (
        payout_transfer_id, generation, reason, evidence_observation_id)
    select s.payout_transfer_id, s.generation + 1, s.reason, payout.saved_decline(s)
    from payout.transfer_states as s
    where s.payout_transfer_id = any (v_ids);

    with reopened as (
        update payout.transfer_states as s
        set state = 'scheduled',
            generation = s.generation + 1,
            first_sent_at = null,
            tries = 0,
            has_unknown_send = false,
            reason = null,
            changed_at = p_now
        where s.payout_transfer_id = any (v_ids)
        returning s.payout_transfer_id, s.generation
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select r.payout_transfer_id, 'reserve', r.generation, 'payable:' || t.payee_id, 'in_flight',
        t.amount_minor, t.currency
    from reopened as r
    join payout.payout_transfers as t on t.payout_transfer_id = r.payout_transfer_id;

    return cardinality(v_ids);
end
$$;
comment on function payout.reopen_declined(timestamptz, integer) is
    'Opens the next key for up to p_limit declined transfers that are due; returns how many.';
-- end frozen: procedures/execution/reopen_declined.sql

-- frozen: procedures/execution/saved_decline.sql 5710890c1862
-- saved_decline: the evidence that a transfer's present key will only ever be declined.

create or replace function payout.saved_decline(p_state payout.transfer_states)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(o.observation_id)
    from payout.transfer_observations as o
    join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.verdict = 'ok'
        and o.moved_to = 'failed'
        and r.is_saved
$$;
comment on function payout.saved_decline(payout.transfer_states) is
    'The accepted decline that Stripe saved under the current key; null: there is none.';
-- end frozen: procedures/execution/saved_decline.sql

-- frozen: sql/error_codes.sql 0918c2b5f11d
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
    ('SP311', 'a claim of more or fewer transfers than one claim hands out', 'correct the call'),
    ('SP312', 'the reported outcomes are malformed', 'correct the call'),
    ('SP313', 'a hold or release without what it needs', 'correct the call'),
    ('SP401', 'the server may lose what it commits, so nothing is handed out', 'try later'),
    ('SP402', 'another transaction came first: repeat this one', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_auditor;
-- end frozen: sql/error_codes.sql

-- frozen: sql/views/overview.sql 4953f7535c2d
-- overview: how many transfers and how much money stand in each state.

create or replace view payout_api.overview as
select
    s.state,
    t.currency,
    count(*) as transfers,
    sum(t.amount_minor)::bigint as amount_minor,
    min(s.changed_at) as oldest_since,
    min(s.next_attempt_at) as next_attempt_at
from payout.transfer_states as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
group by s.state, t.currency;
comment on view payout_api.overview is
    'Transfers by state and currency; amounts in minor units.';
grant select on payout_api.overview to payout_operator, payout_auditor;
-- end frozen: sql/views/overview.sql

-- frozen: sql/views/unpaid.sql a6b904227ffc
-- unpaid: every transfer that is not paid, why, and what happens next.

create or replace view payout_api.unpaid as
select
    t.payout_transfer_id,
    t.settlement_id,
    t.payee_id,
    t.destination,
    t.amount_minor,
    t.currency,
    s.state,
    coalesce(s.reason, st.meaning) as reason,
    s.changed_at as since,
    case
        when h.hold_id is not null then 'operator'
        when s.state = 'failed' and s.next_attempt_at is not null then 'engine'
        else st.whose_turn
    end as whose_turn,
    s.next_attempt_at,
    case
        when h.hold_id is not null
            then format('On hold (%s): payout_api.release_hold(%s, reason).', h.reason, h.hold_id)
        else coalesce(r.advice, st.meaning)
    end as advice,
    t.payout_ref,
    s.generation,
    s.attempt
from payout.transfer_states as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
join payout.states as st on st.state = s.state
left join lateral (
    select o.error_rule_id
    from payout.transfer_observations as o
    where o.payout_transfer_id = s.payout_transfer_id
        and o.moved_to is not null
    order by o.observation_id desc
    limit 1
) as o on true
left join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
left join lateral (
    select h.hold_id, h.reason
    from payout.holds as h
    where h.released_at is null
        and (h.scope = 'engine' or h.subject = case h.scope
            when 'currency' then t.currency::text
            when 'payee' then t.payee_id::text
            when 'settlement' then t.settlement_id::text
        end)
    order by h.hold_id
    limit 1
) as h on true
where s.state <> 'paid';
comment on view payout_api.unpaid is
    'One row for each transfer that is not paid: state, reason, since when, whose turn it is, when '
    'the engine acts next by itself, and what a person can do.';
grant select on payout_api.unpaid to payout_operator, payout_auditor;
-- end frozen: sql/views/unpaid.sql

reset role;
