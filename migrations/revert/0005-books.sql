-- Revert 0005-books.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

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

-- frozen: procedures/doctor/check_rights.sql d3b36cc02e9b
-- check_rights: whether somebody was given more than the migrations gave.
--
-- Rights to read are nobody's harm; every other right on our tables, functions
-- and schemas is named unless it is one of those listed here.

create or replace function payout.check_rights()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select n.oid, n.nspname, n.nspowner as owner, n.nspacl as acl
        from pg_namespace as n
        where n.nspname in ('payout', 'payout_api')
    ), given as (
        select format('schema %s', o.nspname) as thing, a.privilege_type, a.grantee, o.owner
        from ours as o cross join lateral aclexplode(o.acl) as a
        where a.privilege_type <> 'USAGE'
        union all
        select c.oid::regclass::text, a.privilege_type, a.grantee, c.relowner
        from pg_class as c
        join ours as o on o.oid = c.relnamespace
        cross join lateral aclexplode(c.relacl) as a
        where a.privilege_type <> 'SELECT' and c.relkind in ('r', 'v')
        union all
        select format('%s.%s', t.attrelid::regclass, t.attname), a.privilege_type, a.grantee,
            c.relowner
        from pg_attribute as t
        join pg_class as c on c.oid = t.attrelid
        join ours as o on o.oid = c.relnamespace
        cross join lateral aclexplode(t.attacl) as a
        where a.privilege_type <> 'SELECT'
        union all
        select p.oid::regprocedure::text, a.privilege_type, a.grantee, p.proowner
        from pg_proc as p
        join ours as o on o.oid = p.pronamespace
        cross join lateral aclexplode(p.proacl) as a
        where a.grantee <> 0
    )
    select 'nobody was given more rights', count(*) = 0,
        coalesce(string_agg(format('%s on %s to %s', g.privilege_type, g.thing,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end), ', '), 'none'),
        'revoke … on … from …; then find out who granted it'
    from given as g
    where g.grantee <> g.owner
        and not exists (
            select
            from (values
                ('payout_app', 'INSERT|UPDATE', '^payout[.]settlements[.](currency|total_minor|'
                    'state|pay_after|metadata)$'),
                ('payout_app', 'INSERT', '^payout[.]settlements[.]settlement_id$'),
                ('payout_app', 'INSERT|UPDATE',
                    '^payout[.]settlement_lines[.](payee_id|amount_minor|source_transaction)$'),
                ('payout_app', 'INSERT', '^payout[.]settlement_lines[.](settlement_id|line_id)$'),
                ('payout_app', 'DELETE', '^payout[.]settlement_lines$'),
                ('payout_app|payout_operator', 'EXECUTE', '^payout_api[.]register_payee[(]'),
                ('payout_app', 'EXECUTE', '^payout_api[.]complete_settlement[(]'),
                ('payout_worker', 'EXECUTE', '^payout_api[.](claim_transfers|report_outcomes)[(]'),
                ('payout_worker|payout_operator', 'EXECUTE', '^payout_api[.]sweep[(]'),
                ('payout_operator', 'EXECUTE', '^payout_api[.](hold|release_hold)[(]'),
                ('payout_worker|payout_operator|payout_auditor', 'EXECUTE',
                    '^payout_api[.]doctor[(]')
            ) as w (roles, privileges, things)
            where g.grantee <> 0
                and g.grantee::regrole::text = any (string_to_array(w.roles, '|'))
                and g.privilege_type = any (string_to_array(w.privileges, '|'))
                and g.thing ~ w.things
        )
$$;
comment on function payout.check_rights() is
    'Part of payout_api.doctor(): rights beyond reading are those that the migrations gave.';
-- end frozen: procedures/doctor/check_rights.sql

-- dropped: procedures/api/auditor/verify_projection.sql
drop function if exists payout_api.verify_projection();
-- end dropped: procedures/api/auditor/verify_projection.sql

-- dropped: procedures/ledger/newest_facts.sql
drop function if exists payout.newest_facts();
-- end dropped: procedures/ledger/newest_facts.sql

-- dropped: procedures/ledger/fold_facts.sql
drop function if exists payout.fold_facts();
-- end dropped: procedures/ledger/fold_facts.sql

-- dropped: procedures/ledger/booked_places.sql
drop function if exists payout.booked_places();
-- end dropped: procedures/ledger/booked_places.sql

alter table payout.transfer_observations
    drop column is_counted_try,
    drop column has_unknown_send,
    drop column next_attempt_at;

reset role;
