-- 0007-gate: the epoch gate: a copy of the database, or a key of another Stripe account, pays nobody
-- depends: 0006-books

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

create table payout.epochs (
    epoch_id bigint not null generated always as identity,
    system_identifier bigint,
    timeline_id integer,
    database_oid oid,
    table_oid oid,
    is_installation boolean not null default false,
    reconcile_run_id bigint,
    reason text not null,
    recorded_by text not null default session_user,
    recorded_at timestamptz not null default now(),
    constraint epochs_pkey primary key (epoch_id),
    constraint place_is_whole_or_none check (
        num_nulls(system_identifier, timeline_id, database_oid, table_oid) in (0, 4)),
    constraint only_a_place_is_reconciled check (
        reconcile_run_id is null or system_identifier is not null),
    constraint installation_has_a_place check (
        not is_installation or system_identifier is not null),
    constraint reason_is_given check (length(btrim(reason)) > 0)
);
comment on table payout.epochs is
    'Where this database was adopted as the true one; the newest row counts. Claims are refused '
    'anywhere else. A row without a place closes the gate until somebody opens it again.';
comment on column payout.epochs.system_identifier is
    'pg_control_system(): another one is another cluster, so the data was restored into it.';
comment on column payout.epochs.timeline_id is
    'Another timeline: a standby was promoted, or the cluster was recovered to a point in time.';
comment on column payout.epochs.database_oid is
    'Another database: a clone by template, or a dump restored beside the first one.';
comment on column payout.epochs.table_oid is
    'Of payout.transfer_states; another one: a dump was restored into the same database.';
comment on column payout.epochs.is_installation is
    'Recorded by the migration, in a database without transfers: older ones were loaded later.';
comment on column payout.epochs.reconcile_run_id is
    'The finished run of reconcile_runs that the opening relied on; null: none.';
grant select on payout.epochs to payout_operator, payout_auditor;
create trigger _500_refuse_change before update or delete on payout.epochs
    for each row execute function payout.tg__refuse_change();
alter table payout.epochs enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.epochs
    for each statement execute function payout.tg__refuse_change();
alter table payout.epochs enable always trigger _500_refuse_truncate;

alter table payout.engine_settings
    add column stripe_account_id text
        constraint stripe_account_id_looks_like_one check (
            stripe_account_id ~ '^acct_[A-Za-z0-9_]+$' and length(stripe_account_id) <= 255)
        constraint stripe_account_is_fixed_with_its_mode check (
            stripe_account_id is null or is_livemode is not null);
comment on column payout.engine_settings.stripe_account_id is
    'The Stripe account that pays; null until the first claim names one, together with its mode.';

-- frozen: procedures/api/operator/change_stripe_account.sql 1e3bae9f8201
-- change_stripe_account: pay from another Stripe account or mode from now on; closes the gate.
--
-- Called by: operator, when the platform moves, or for a copy that is to pay in test mode.
-- Safe to repeat: naming the account that is fixed changes nothing.
-- Locks: payout.epochs, so that every claim is done before or sees the change.
-- Raises: SP320 no account, mode or reason; SP411 transfers that the old account may have executed.

create or replace function payout_api.change_stripe_account(
    p_stripe_account_id text, p_is_livemode boolean, p_reason text
)
returns payout.engine_settings
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old payout.engine_settings;
    v_new payout.engine_settings;
begin
    if coalesce(p_stripe_account_id !~ '^acct_[A-Za-z0-9_]+$', true) or p_is_livemode is null
        or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot change the Stripe account to % for reason %',
            payout.name_stripe_account(p_stripe_account_id, p_is_livemode),
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP320',
                hint = 'Name the account (acct_…), whether it is live mode, and a reason.';
    end if;

    lock table payout.epochs in access exclusive mode;
    select * into strict v_old from payout.engine_settings for update;
    if (v_old.stripe_account_id, v_old.is_livemode) = (p_stripe_account_id, p_is_livemode) then
        return v_old;
    end if;

    -- The other account would say of each that it was never executed. Test mode moves no money.
    if v_old.stripe_account_id is not null and p_is_livemode and exists (
        select from payout.transfer_states as s
        where s.state in ('in_flight', 'retry_wait', 'unknown', 'parked') and s.attempt > 0
    ) then
        raise exception 'transfers are open that % may have executed', v_old.stripe_account_id
            using
                errcode = 'SP411',
                hint = 'Have them settled with a key of the old account first (docs/restore.md).';
    end if;

    update payout.engine_settings as e
    set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode
    returning * into v_new;
    insert into payout.operator_actions (action, subject, reason, details)
    values ('change_stripe_account', p_stripe_account_id, p_reason, jsonb_build_object(
        'is_livemode', p_is_livemode, 'old_stripe_account_id', v_old.stripe_account_id,
        'old_is_livemode', v_old.is_livemode));
    if v_old.stripe_account_id is not null then
        insert into payout.epochs (reason) values ('Stripe account changed: ' || p_reason);
    end if;
    return v_new;
end
$$;
comment on function payout_api.change_stripe_account(text, boolean, text) is
    'Fixes another Stripe account or mode, with a reason, and closes the gate until it is opened.';
revoke execute on function payout_api.change_stripe_account(text, boolean, text) from public;
grant execute on function payout_api.change_stripe_account(text, boolean, text) to payout_operator;
-- end frozen: procedures/api/operator/change_stripe_account.sql

-- dropped: procedures/api/operator/doctor.sql
drop function if exists payout_api.doctor();
-- end dropped: procedures/api/operator/doctor.sql

-- frozen: procedures/api/operator/doctor.sql c68dbd5b6131
-- doctor: everything that can be checked from inside, one row a check.
--
-- Called by: payout-engine doctor, operators, auditors; after a restore above all.

create or replace function payout_api.doctor(
    p_stripe_account_id text default null, p_is_livemode boolean default null
)
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    select * from payout.check_server()
    union all
    select * from payout.check_gate(p_stripe_account_id, p_is_livemode)
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
    union all
    select * from payout.check_seals()
$$;
comment on function payout_api.doctor(text, boolean) is
    'Checks server, gate, guards, queue, books and seals; hint says what to do where is_ok is '
    'false. The Stripe account is that of the caller''s key, if it has one.';
revoke execute on function payout_api.doctor(text, boolean) from public;
grant execute on function payout_api.doctor(text, boolean)
    to payout_worker, payout_operator, payout_auditor;
-- end frozen: procedures/api/operator/doctor.sql

-- frozen: procedures/api/operator/open_gate.sql d7979b1833cc
-- open_gate: adopt the database in the place where it is now; transfers are handed out again.
--
-- Called by: operator, after a restore, a promotion or a clone (docs/restore.md).
-- Safe to repeat: an open gate stays open, and nothing is recorded.
-- Locks: the row of settings, so that two people record one epoch.
-- Raises: SP320 no reason; SP410 nothing was reconciled in this place yet.

create or replace function payout_api.open_gate(
    p_reason text, p_without_reconcile boolean default false
)
returns payout.epochs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
    v_here record;
    v_epoch payout.epochs;
    v_run_id bigint;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'the gate is not opened without a reason'
            using
                errcode = 'SP320',
                hint = 'Say what happened to the database, and why it is the true one now.';
    end if;

    perform from payout.engine_settings for update;
    v_problem := payout.gate_problem();
    select * into v_epoch from payout.epochs as e order by e.epoch_id desc limit 1;
    if v_problem is null then
        return v_epoch;
    end if;

    v_here := payout.where_we_are();
    select r.reconcile_run_id into v_run_id
    from payout.reconcile_runs as r
    where r.finished_at is not null
        and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)
            = (v_here.system_identifier, v_here.timeline_id, v_here.database_oid, v_here.table_oid)
        and (v_epoch.epoch_id is null or r.started_at > v_epoch.recorded_at)
    order by r.reconcile_run_id desc
    limit 1;
    if v_run_id is null and p_without_reconcile is not true then
        raise exception 'the gate stays closed: nothing was reconciled in this place'
            using
                errcode = 'SP410',
                detail = v_problem,
                hint = 'docs/restore.md: compare with Stripe, put on hold what is paid there, then '
                    'payout_api.open_gate(reason, p_without_reconcile => true).';
    end if;

    insert into payout.epochs (
        system_identifier, timeline_id, database_oid, table_oid, reconcile_run_id, reason)
    values (v_here.system_identifier, v_here.timeline_id, v_here.database_oid, v_here.table_oid,
        v_run_id, p_reason)
    returning * into v_epoch;
    insert into payout.operator_actions (action, reason, details)
    values ('open_gate', p_reason, jsonb_build_object('epoch_id', v_epoch.epoch_id,
        'reconcile_run_id', v_run_id, 'problem', v_problem));
    return v_epoch;
end
$$;
comment on function payout_api.open_gate(text, boolean) is
    'Adopts the database where it is now, with a reason, once a reconcile run was finished here; '
    'p_without_reconcile does without one and is recorded. Safe to repeat.';
revoke execute on function payout_api.open_gate(text, boolean) from public;
grant execute on function payout_api.open_gate(text, boolean) to payout_operator;
-- end frozen: procedures/api/operator/open_gate.sql

-- dropped: procedures/api/worker/claim_transfers.sql
drop function if exists payout_api.claim_transfers(text, integer, bigint);
-- end dropped: procedures/api/worker/claim_transfers.sql

-- frozen: procedures/api/worker/claim_transfers.sql fe1aa8107b5a
-- claim_transfers: hand a worker the transfers that are due, each under a lease.
--
-- Called by: worker. One call serves many transfers; nobody waits for anybody.
-- Not handed out: what is on hold, and what was first sent under its key longer
-- ago than the send window, because Stripe may have forgotten the key.
-- Raises: SP401 unsafe server; SP403, SP404 (refuse_closed_gate); SP311 limit out of range.

create or replace function payout_api.claim_transfers(
    p_worker text,
    p_limit integer default 100,
    p_payout_job_id bigint default null,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null
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
    perform payout.refuse_closed_gate(p_stripe_account_id, p_is_livemode);
    select * into strict v_settings from payout.engine_settings;

    if p_worker is null or coalesce(p_limit, 0) not between 1 and v_settings.largest_claim then
        raise exception 'claim of % transfers by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'nobody')
            using
                errcode = 'SP311',
                hint = format('Name the worker, ask for 1 to %s.', v_settings.largest_claim);
    end if;

    if p_payout_job_id is null then
        perform payout.hear_doorbell();
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
            doorbell_id = null,
            changed_at = v_now
        from payout.lock_due_transfers(
            v_now, v_now - v_settings.send_window_for, p_limit, p_payout_job_id) as d
        where s.payout_transfer_id = d.payout_transfer_id
        returning s.*, d.doorbell_id as answered_doorbell_id
    ), opened as (
        insert into payout.transfer_attempts (
            payout_transfer_id, generation, attempt, worker, claimed_at, lease_until)
        select c.payout_transfer_id, c.generation, c.attempt, p_worker, v_now, c.lease_until
        from claimed as c
    ), answered as (
        select payout.answer_doorbells(array_agg(distinct c.answered_doorbell_id)) as bells
        from claimed as c
    )
    select
        c.payout_transfer_id, c.generation, c.attempt,
        t.payout_ref || ':' || c.generation,
        t.request,
        extract(epoch from v_settings.lease_for)::double precision,
        extract(epoch from v_settings.http_deadline_for)::double precision
    from claimed as c
    join payout.payout_transfers as t on t.payout_transfer_id = c.payout_transfer_id
    -- Named in a condition because a query that nobody asks is not run.
    where (select a.bells from answered as a) >= 0;
end
$$;
comment on function payout_api.claim_transfers(text, integer, bigint, text, boolean) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine is on hold. The Stripe account is that of the worker''s key. Seconds '
    'count from before the call.';
revoke execute on function payout_api.claim_transfers(text, integer, bigint, text, boolean)
    from public;
grant execute on function payout_api.claim_transfers(text, integer, bigint, text, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/claim_transfers.sql

-- frozen: procedures/doctor/check_gate.sql 2c438dab1fc9
-- check_gate: whether transfers are handed out in this place, and from which Stripe account.

create or replace function payout.check_gate(p_stripe_account_id text, p_is_livemode boolean)
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'the gate is open', g.problem is null,
        coalesce(g.problem, (
            select format('adopted by %s at %s: %s', e.recorded_by, e.recorded_at, e.reason)
            from payout.epochs as e
            order by e.epoch_id desc
            limit 1)),
        'docs/restore.md: compare with Stripe, put on hold what is paid there, then '
            'select payout_api.open_gate(…)'
    from (select payout.gate_problem() as problem) as g
    union all
    select 'the key is of the fixed account',
        s.stripe_account_id is null or p_stripe_account_id is null
            or (s.stripe_account_id = p_stripe_account_id
                and s.is_livemode is not distinct from p_is_livemode),
        concat_ws('; ',
            case
                when s.stripe_account_id is null then 'none is fixed: the first claim fixes one'
                else 'fixed: ' || payout.name_stripe_account(s.stripe_account_id, s.is_livemode)
            end,
            'the key: ' || case
                when p_stripe_account_id is null then 'not asked'
                else payout.name_stripe_account(p_stripe_account_id, p_is_livemode)
            end),
        'give the worker another key; if the platform has moved: '
            'select payout_api.change_stripe_account(stripe_account_id, is_livemode, reason)'
    from payout.engine_settings as s
$$;
comment on function payout.check_gate(text, boolean) is
    'Part of payout_api.doctor(): the database is where it was adopted, the key is of its account.';
-- end frozen: procedures/doctor/check_gate.sql

-- frozen: procedures/doctor/check_guards.sql fdce27fd8945
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
    select 'guards are enabled always', count(*) filter (where t.tgenabled = 'A') = 55,
        coalesce(string_agg(format('%s on %s', t.tgname, t.tgrelid::regclass), ', ')
            filter (where t.tgenabled <> 'A'), format('%s of 55 guards', count(*))),
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

-- frozen: procedures/doctor/check_rights.sql bba1c107e623
-- check_rights: whether somebody was given more than the migrations gave.
--
-- Rights to read are nobody's harm; every other right on our tables, functions
-- and schemas is named unless expected_rights lists it.

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
            from payout.expected_rights() as w
            where g.grantee <> 0
                and g.grantee::regrole::text = any (string_to_array(w.roles, '|'))
                and g.privilege_type = any (string_to_array(w.privileges, '|'))
                and g.thing ~ w.things
        )
$$;
comment on function payout.check_rights() is
    'Part of payout_api.doctor(): rights beyond reading are those that the migrations gave.';
-- end frozen: procedures/doctor/check_rights.sql

-- frozen: procedures/doctor/expected_rights.sql cc7e35665cc3
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
        ('payout_worker', 'EXECUTE', '^payout_api[.](claim_transfers|report_outcomes)[(]'),
        ('payout_worker|payout_operator', 'EXECUTE', '^payout_api[.](sweep|seal)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.](hold|release_hold)[(]'),
        ('payout_operator', 'EXECUTE',
            '^payout_api[.](open_gate|change_stripe_account)[(]'),
        ('payout_worker|payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.]doctor[(]'),
        ('payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](verify_projection|verify_seals|seal_head|balances_as_of)[(]')
$$;
comment on function payout.expected_rights() is
    'Part of payout_api.doctor(): the rights that the migrations give.';
-- end frozen: procedures/doctor/expected_rights.sql

-- frozen: procedures/epoch/gate_problem.sql 7cf058dbab8b
-- gate_problem: what keeps the gate closed, in a sentence; null while it is open.
--
-- Volatile although it only reads: then a claim that waited for somebody who
-- closes the gate sees that it is closed.

create or replace function payout.gate_problem()
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_epoch payout.epochs;
    v_here record;
    v_changes text;
begin
    select * into v_epoch from payout.epochs as e order by e.epoch_id desc limit 1;
    if not found then
        return 'It was never adopted, and it had transfers when the gate was built.';
    end if;
    if v_epoch.system_identifier is null then
        return format('The gate was closed: %s.', v_epoch.reason);
    end if;

    v_here := payout.where_we_are();
    v_changes := concat_ws('; ',
        case when v_here.system_identifier <> v_epoch.system_identifier then
            format('system from %s to %s', v_epoch.system_identifier, v_here.system_identifier) end,
        case when v_here.timeline_id <> v_epoch.timeline_id then
            format('timeline from %s to %s', v_epoch.timeline_id, v_here.timeline_id) end,
        case when v_here.database_oid <> v_epoch.database_oid then
            format('database from %s to %s', v_epoch.database_oid, v_here.database_oid) end,
        case when v_here.table_oid <> v_epoch.table_oid then
            format('tables from %s to %s', v_epoch.table_oid, v_here.table_oid) end);
    if v_changes <> '' then
        return format('Changed since: %s.', v_changes);
    end if;

    -- Rows that were loaded into a new installation, or replicated to it, bring no epoch along.
    if v_epoch.is_installation and v_epoch.recorded_at > (
        select t.created_at from payout.payout_transfers as t order by t.payout_transfer_id limit 1
    ) then
        return 'It has transfers from before it was installed.';
    end if;
    return null;
end
$$;
comment on function payout.gate_problem() is
    'Says how this place differs from where the database was last adopted; null: it does not.';
-- end frozen: procedures/epoch/gate_problem.sql

-- frozen: procedures/epoch/name_stripe_account.sql d1d843a773fe
-- name_stripe_account: a Stripe account and its mode, as people read them.

create or replace function payout.name_stripe_account(
    p_stripe_account_id text, p_is_livemode boolean
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('%s in %s mode', coalesce(p_stripe_account_id, 'an account not named'),
        case p_is_livemode when true then 'live' when false then 'test' else 'unknown' end);
end
$$;
comment on function payout.name_stripe_account(text, boolean) is
    'Writes a Stripe account and its mode for messages.';
-- end frozen: procedures/epoch/name_stripe_account.sql

-- frozen: procedures/epoch/refuse_closed_gate.sql 710c284f61a9
-- refuse_closed_gate: a copy of the true database hands out nothing.
--
-- A restored, promoted or cloned database may have forgotten what was sent, and
-- another one may be sending the same.
-- Raises: SP403 not where it was adopted; SP404 a key of another Stripe account.

create or replace function payout.refuse_closed_gate(
    p_stripe_account_id text, p_is_livemode boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := payout.gate_problem();
begin
    if v_problem is not null then
        raise exception 'no transfer is handed out: this database is not where it was adopted'
            using
                errcode = 'SP403',
                detail = v_problem,
                hint = 'docs/restore.md: compare with Stripe, put on hold what is paid there, '
                    'then select payout_api.open_gate(…).';
    end if;
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
end
$$;
comment on function payout.refuse_closed_gate(text, boolean) is
    'Refuses to go on where the database was not adopted, or for another Stripe account.';
-- end frozen: procedures/epoch/refuse_closed_gate.sql

-- frozen: procedures/epoch/refuse_other_stripe_account.sql 437bb5a877f6
-- refuse_other_stripe_account: one database pays from one Stripe account, in one mode.
--
-- Another account knows none of our keys and would execute them all once more.
-- Whoever is first to name an account and its mode fixes them.
-- Raises: SP404 another account or mode than the fixed one, or none.

create or replace function payout.refuse_other_stripe_account(
    p_stripe_account_id text, p_is_livemode boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
begin
    select * into strict v_settings from payout.engine_settings;

    if v_settings.stripe_account_id is null and p_stripe_account_id is not null
        and p_is_livemode = coalesce(v_settings.is_livemode, p_is_livemode) then
        update payout.engine_settings as e
        set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode
        where e.stripe_account_id is null;
        if found then
            insert into payout.operator_actions (action, subject, reason, details)
            values ('fix_stripe_account', p_stripe_account_id,
                'the engine: nobody had named an account before',
                jsonb_build_object('is_livemode', p_is_livemode));
        end if;
        -- Somebody else may have been first.
        select * into strict v_settings from payout.engine_settings;
    end if;

    if v_settings.stripe_account_id is distinct from p_stripe_account_id
        or (p_stripe_account_id is not null
            and v_settings.is_livemode is distinct from p_is_livemode) then
        raise exception 'this database does not pay from %',
            payout.name_stripe_account(p_stripe_account_id, p_is_livemode)
            using
                errcode = 'SP404',
                detail = format('It pays from %s.', payout.name_stripe_account(
                    v_settings.stripe_account_id, v_settings.is_livemode)),
                hint = 'Give the worker a key of that account and mode; if the platform has moved, '
                    'see payout_api.change_stripe_account.';
    end if;
end
$$;
comment on function payout.refuse_other_stripe_account(text, boolean) is
    'Refuses a caller with another Stripe account or mode than the fixed one; fixes the first.';
-- end frozen: procedures/epoch/refuse_other_stripe_account.sql

-- frozen: procedures/epoch/where_we_are.sql 7351e97394af
-- where_we_are: what tells this database from any copy of it.
--
-- A promotion changes the timeline at once, though pg_control_checkpoint() says
-- so only after the next checkpoint: hence the name of the file that is written.
-- A new cluster has another system identifier, a clone or a restore other oids.

create or replace function payout.where_we_are(
    out system_identifier bigint,
    out timeline_id integer,
    out database_oid oid,
    out table_oid oid
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    system_identifier := (pg_control_system()).system_identifier;
    timeline_id := case
        when pg_is_in_recovery() then (pg_control_checkpoint()).timeline_id
        else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    end;
    database_oid := (select d.oid from pg_database as d where d.datname = current_database());
    table_oid := 'payout.transfer_states'::regclass;
end
$$;
comment on function payout.where_we_are() is
    'This place: system identifier, timeline, oid of the database, oid of payout.transfer_states.';
-- end frozen: procedures/epoch/where_we_are.sql

-- frozen: sql/error_codes.sql f60ab8b77cd9
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
    ('SP330', 'no such seal, or no head of seals', 'correct the call'),
    ('SP320', 'the gate or the Stripe account without what its change needs', 'correct the call'),
    ('SP401', 'the server may lose what it commits, so nothing is handed out', 'try later'),
    ('SP402', 'another transaction came first: repeat this one', 'try later'),
    ('SP403', 'the database is not where it was adopted: the gate is closed', 'try later'),
    ('SP404', 'the database pays from another Stripe account, or in the other mode', 'try later'),
    ('SP410', 'nothing was reconciled in this place, so the gate stays closed', 'try later'),
    ('SP411', 'transfers are open that the old Stripe account may have executed', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_auditor;
-- end frozen: sql/error_codes.sql

-- A run counts for the place where it was made.
alter table payout.reconcile_runs
    add column system_identifier bigint,
    add column timeline_id integer,
    add column database_oid oid,
    add column table_oid oid;
alter table payout.reconcile_runs
    alter column system_identifier set default (payout.where_we_are()).system_identifier,
    alter column timeline_id set default (payout.where_we_are()).timeline_id,
    alter column database_oid set default (payout.where_we_are()).database_oid,
    alter column table_oid set default (payout.where_we_are()).table_oid;
comment on column payout.reconcile_runs.system_identifier is
    'With the next three: where the run was made, as in payout.epochs.';

-- With a transfer this may be a copy already, and only a person knows.
insert into payout.epochs (
    system_identifier, timeline_id, database_oid, table_oid, is_installation, reason)
select w.system_identifier, w.timeline_id, w.database_oid, w.table_oid, true, 'installed'
from payout.where_we_are() as w
where not exists (select from payout.payout_transfers);

reset role;
