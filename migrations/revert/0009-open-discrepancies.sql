-- Revert 0009-open-discrepancies.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: procedures/execution/expire_leases.sql e6866bdd97c6
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
            error_rule_id, is_counted_try, has_unknown_send, next_attempt_at)
        select j.payout_transfer_id, j.generation, j.attempt, 'lease_expired', 'ok', j.to_state,
            j.reason, r.error_rule_id, true, true, case j.to_state when 'unknown' then p_now end
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

-- frozen: procedures/doctor/expected_rights.sql 32c4aa592d7a
-- expected_rights: who has which right, beside reading, on what.
--
-- Roles and privileges are separated by |; things are regular expressions over the
-- names that check_rights makes.

create or replace function payout.expected_rights()
returns table (roles text, privileges text, things text)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    values
        ('payout_app', 'INSERT|UPDATE', '^payout[.]settlements[.](currency|total_minor|'
            'state|pay_after|metadata)$'),
        ('payout_app', 'INSERT', '^payout[.]settlements[.]settlement_id$'),
        ('payout_app', 'INSERT|UPDATE',
            '^payout[.]settlement_lines[.](payee_id|amount_minor|source_transaction)$'),
        ('payout_app', 'INSERT', '^payout[.]settlement_lines[.](settlement_id|line_id)$'),
        ('payout_app', 'DELETE', '^payout[.]settlement_lines$'),
        ('payout_app|payout_operator', 'EXECUTE', '^payout_api[.]register_payee[(]'),
        ('payout_app', 'EXECUTE', '^payout_api[.]complete_settlement[(]'),
        ('payout_worker', 'EXECUTE', '^payout_api[.](claim_transfers|report_outcomes|'
            'claim_lookups|report_lookup_page)[(]'),
        ('payout_worker|payout_operator', 'EXECUTE', '^payout_api[.](sweep|seal)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.](hold|release_hold)[(]'),
        ('payout_operator', 'EXECUTE',
            '^payout_api[.](open_gate|change_stripe_account|approve_absence)[(]'),
        ('payout_worker|payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.]doctor[(]'),
        ('payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](verify_projection|verify_seals|seal_head|balances_as_of)[(]')
$$;
comment on function payout.expected_rights() is
    'Part of payout_api.doctor(): the rights that the migrations give.';
-- end frozen: procedures/doctor/expected_rights.sql

-- dropped: procedures/execution/call_person.sql
drop function if exists payout.call_person(text, text);
-- end dropped: procedures/execution/call_person.sql

-- dropped: procedures/api/worker/open_discrepancies.sql
drop function if exists payout_api.open_discrepancies();
-- end dropped: procedures/api/worker/open_discrepancies.sql

reset role;
