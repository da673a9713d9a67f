-- Revert 0006-books.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

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

-- frozen: sql/views/ledger_balances.sql d8eb3d69ae0e
-- ledger_balances: what stands on each account, in minor units.

create or replace view payout_api.ledger_balances as
select
    m.account,
    m.currency,
    sum(m.debit_minor)::bigint as debit_minor,
    sum(m.credit_minor)::bigint as credit_minor,
    (sum(m.credit_minor) - sum(m.debit_minor))::bigint as balance_minor
from (
    select e.debit_account as account, e.currency, e.amount_minor as debit_minor, 0 as credit_minor
    from payout.ledger_entries as e
    union all
    select e.credit_account, e.currency, 0, e.amount_minor
    from payout.ledger_entries as e
) as m
group by m.account, m.currency;
comment on view payout_api.ledger_balances is
    'Credit minus debit of every account and currency, in minor units. payable:<payee> is what is '
    'owed and not being sent, in_flight what is being sent, stripe_balance what Stripe has moved.';
grant select on payout_api.ledger_balances to payout_operator, payout_auditor;
-- end frozen: sql/views/ledger_balances.sql

-- frozen: sql/views/trial_balance.sql e063d0339340
-- trial_balance: the books of each currency, which always add up to zero.

create or replace view payout_api.trial_balance as
select
    b.currency,
    sum(b.debit_minor)::bigint as debit_minor,
    sum(b.credit_minor)::bigint as credit_minor,
    sum(b.balance_minor)::bigint as difference_minor,
    coalesce(sum(b.balance_minor) filter (where b.account = 'in_flight'), 0)::bigint
        as in_flight_minor,
    (
        select coalesce(sum(t.amount_minor), 0)::bigint
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where t.currency = b.currency
            and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked')
    ) as open_transfers_minor
from payout_api.ledger_balances as b
group by b.currency;
comment on view payout_api.trial_balance is
    'Per currency: difference_minor is zero, and in_flight_minor equals open_transfers_minor, the '
    'sum of the transfers that are neither paid, failed nor cancelled. Anything else is a bug.';
grant select on payout_api.trial_balance to payout_operator, payout_auditor;
-- end frozen: sql/views/trial_balance.sql

-- frozen: procedures/api/worker/sweep.sql 22188f0d896d
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
        payout.ring_doorbells(v_now, p_limit);
end
$$;
comment on function payout_api.sweep(integer) is
    'Closes leases that ran out, parks what is too old to send, opens new keys where rule K '
    'allows, rings for what is due; up to p_limit of each. Returns how many.';
revoke execute on function payout_api.sweep(integer) from public;
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
-- end frozen: procedures/api/worker/sweep.sql

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

-- frozen: procedures/api/operator/doctor.sql ebc7772f24bc
-- doctor: everything that can be checked from inside, one row a check.
--
-- Called by: payout-engine doctor, operators, auditors; after a restore above all.

create or replace function payout_api.doctor()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select * from payout.check_server()
    union all
    select * from payout.check_guards()
    union all
    select * from payout.check_rights()
    union all
    select * from payout.check_queue()
    union all
    select * from payout.check_books()
    union all
    select * from payout.check_references()
$$;
comment on function payout_api.doctor() is
    'Checks server, guards, queue and books; hint says what to do where is_ok is false.';
revoke execute on function payout_api.doctor() from public;
grant execute on function payout_api.doctor() to payout_worker, payout_operator, payout_auditor;
-- end frozen: procedures/api/operator/doctor.sql

-- frozen: procedures/doctor/check_guards.sql 57e24fe00edd
-- check_guards: whether triggers, owners and rights are still as they were deployed.
--
-- `alter table … enable trigger all` and a restore with --disable-triggers
-- silently turn ALWAYS triggers into ones that a replica role passes.

create or replace function payout.check_guards()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'guards are enabled always', count(*) filter (where t.tgenabled = 'A') = 47,
        coalesce(string_agg(format('%s on %s', t.tgname, t.tgrelid::regclass), ', ')
            filter (where t.tgenabled <> 'A'), format('%s of 47 guards', count(*))),
        'alter table … enable always trigger …; then find out who disabled it'
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'payout'::regnamespace and not t.tgisinternal
        and t.tgname not in (
            '_900_schedule_payout_job', '_900_refuse_frozen_insert', '_900_check_settlement',
            '_510_check_start')
    union all
    select 'inserts are guarded', count(*) = 3, format('%s of 3 guards', count(*)),
        'alter table … enable trigger …; then find out who disabled it'
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'payout'::regnamespace and t.tgenabled = 'O'
        and t.tgname in ('_900_refuse_frozen_insert', '_900_check_settlement', '_510_check_start')
    union all
    select 'settlements schedule their payouts', coalesce(min(t.tgenabled::text) = 'O', false),
        coalesce(min(t.tgenabled::text), 'missing'),
        'alter table payout.settlements enable trigger _900_schedule_payout_job'
    from pg_trigger as t
    where t.tgrelid = 'payout.settlements'::regclass and t.tgname = '_900_schedule_payout_job'
    union all
    select 'everything belongs to payout_owner', count(*) = 0,
        coalesce(string_agg(o.name, ', '), 'tables, views and functions'),
        'alter … owner to payout_owner'
    from (
        select c.oid::regclass::text from pg_class as c
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
            and c.relkind in ('r', 'v') and c.relowner <> 'payout_owner'::regrole
        union all
        select p.oid::regprocedure::text from pg_proc as p
        where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
            and p.proowner <> 'payout_owner'::regrole
    ) as o (name)
    union all
    select 'functions are pinned and private', count(*) = 0,
        coalesce(string_agg(p.oid::regprocedure::text, ', '), 'every function'),
        'deploy the migrations again; nothing else may replace these functions'
    from pg_proc as p
    where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        and (not coalesce(p.proconfig, '{}') && array[
                'search_path=pg_catalog, pg_temp', 'search_path=pg_catalog, procrastinate, pg_temp']
            or has_function_privilege('public', p.oid, 'EXECUTE'))
$$;
comment on function payout.check_guards() is
    'Part of payout_api.doctor(): triggers, owners and rights are as deployed.';
-- end frozen: procedures/doctor/check_guards.sql

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

-- dropped: procedures/seals/subtotals_of.sql
drop function if exists payout.subtotals_of(payout.seals);
-- end dropped: procedures/seals/subtotals_of.sql

-- dropped: procedures/seals/subtotals_at.sql
drop function if exists payout.subtotals_at(bigint);
-- end dropped: procedures/seals/subtotals_at.sql

-- dropped: procedures/seals/sealed_rows_v1.sql
drop function if exists payout.sealed_rows_v1(text, bigint, bigint, integer);
-- end dropped: procedures/seals/sealed_rows_v1.sql

-- dropped: procedures/seals/seal_up_to_mark.sql
drop function if exists payout.seal_up_to_mark(payout.seal_marks, timestamptz, integer);
-- end dropped: procedures/seals/seal_up_to_mark.sql

-- dropped: procedures/seals/seal_sha256.sql
drop function if exists payout.seal_sha256(payout.seals);
-- end dropped: procedures/seals/seal_sha256.sql

-- dropped: procedures/seals/row_sha256.sql
drop function if exists payout.row_sha256(jsonb);
-- end dropped: procedures/seals/row_sha256.sql

-- dropped: procedures/seals/newest_row_id.sql
drop function if exists payout.newest_row_id(text);
-- end dropped: procedures/seals/newest_row_id.sql

-- dropped: procedures/seals/check_seal_rows.sql
drop function if exists payout.check_seal_rows(payout.seals);
-- end dropped: procedures/seals/check_seal_rows.sql

-- dropped: procedures/seals/check_seal_chain.sql
drop function if exists payout.check_seal_chain(payout.seals);
-- end dropped: procedures/seals/check_seal_chain.sql

-- dropped: procedures/seals/check_seal.sql
drop function if exists payout.check_seal(payout.seals);
-- end dropped: procedures/seals/check_seal.sql

-- dropped: procedures/seals/add_seal.sql
drop function if exists payout.add_seal(text, bigint, integer, timestamptz);
-- end dropped: procedures/seals/add_seal.sql

-- dropped: procedures/doctor/check_seals.sql
drop function if exists payout.check_seals();
-- end dropped: procedures/doctor/check_seals.sql

-- dropped: procedures/api/worker/seal.sql
drop function if exists payout_api.seal(integer);
-- end dropped: procedures/api/worker/seal.sql

-- dropped: procedures/api/auditor/verify_seals.sql
drop function if exists payout_api.verify_seals(bigint, text);
-- end dropped: procedures/api/auditor/verify_seals.sql

-- dropped: procedures/api/auditor/verify_projection.sql
drop function if exists payout_api.verify_projection();
-- end dropped: procedures/api/auditor/verify_projection.sql

-- dropped: procedures/api/auditor/seal_head.sql
drop function if exists payout_api.seal_head();
-- end dropped: procedures/api/auditor/seal_head.sql

-- dropped: procedures/api/auditor/balances_as_of.sql
drop function if exists payout_api.balances_as_of(timestamptz);
-- end dropped: procedures/api/auditor/balances_as_of.sql

-- dropped: procedures/ledger/newest_facts.sql
drop function if exists payout.newest_facts();
-- end dropped: procedures/ledger/newest_facts.sql

-- dropped: procedures/ledger/fold_facts.sql
drop function if exists payout.fold_facts();
-- end dropped: procedures/ledger/fold_facts.sql

-- dropped: procedures/ledger/booked_places.sql
drop function if exists payout.booked_places();
-- end dropped: procedures/ledger/booked_places.sql

drop table payout.seal_marks;
drop table payout.seal_subtotals;
drop table payout.seals;
alter table payout.key_generations drop column key_generation_id;
alter table payout.transfer_observations
    drop column is_counted_try,
    drop column has_unknown_send,
    drop column next_attempt_at;

reset role;
