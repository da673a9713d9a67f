-- 0004-doorbell: the settlement rings procrastinate's queue, claims answer, the sweep rings again (05D)
-- depends: 0003-money-movement

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- dropped: procedures/scheduling/create_transfers.sql
drop function if exists payout.create_transfers(payout.settlements, bigint);
-- end dropped: procedures/scheduling/create_transfers.sql

-- frozen: procedures/scheduling/create_transfers.sql 30987e65bc73
-- create_transfers: what a scheduled settlement owes, as transfers, progress and books.
--
-- One statement for all payees, so that a settlement of ten thousand costs
-- little more than its rows.

create or replace function payout.create_transfers(
    p_settlement payout.settlements, p_payout_job_id bigint, p_doorbell_ids bigint[]
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    with owed as (
        select
            l.payee_id,
            l.source_transaction,
            sum(l.amount_minor)::bigint as amount_minor,
            payout.payout_ref(p_settlement.settlement_id, l.payee_id, l.source_transaction)
                as payout_ref
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ), transfers as (
        insert into payout.payout_transfers (
            payout_job_id, settlement_id, payee_id, source_transaction, destination,
            amount_minor, currency, payout_ref, request)
        select
            p_payout_job_id, p_settlement.settlement_id, o.payee_id, o.source_transaction,
            a.stripe_account_id, o.amount_minor, p_settlement.currency, o.payout_ref,
            payout.transfer_request(
                o.payout_ref, p_settlement, o.payee_id, a.stripe_account_id,
                o.amount_minor, o.source_transaction)
        from owed as o
        cross join lateral (
            select pa.stripe_account_id
            from payout.payee_accounts as pa
            where pa.payee_id = o.payee_id
            order by pa.payee_account_id desc
            limit 1
        ) as a
        order by o.payee_id, o.source_transaction
        returning payout_transfer_id, payee_id, amount_minor, currency
    ), states as (
        -- The bells are shared out evenly; without any the sweep will ring.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, now()),
            p_doorbell_ids[1 + (row_number() over (order by t.payout_transfer_id) - 1)
                * cardinality(p_doorbell_ids) / count(*) over ()]
        from transfers as t
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select
        t.payout_transfer_id, e.kind, 1, e.debit_account, e.credit_account, t.amount_minor,
        t.currency
    from transfers as t
    cross join lateral (values
        ('obligation', 'settlement_funds', 'payable:' || t.payee_id),
        ('reserve', 'payable:' || t.payee_id, 'in_flight')
    ) as e (kind, debit_account, credit_account)
    order by t.payout_transfer_id, e.kind;
end
$$;
comment on function payout.create_transfers(payout.settlements, bigint, bigint[]) is
    'Writes the transfers of a settlement, their progress rows with their bells, and the books.';
-- end frozen: procedures/scheduling/create_transfers.sql

-- frozen: procedures/scheduling/schedule_payout_job.sql e342d499eec4
-- schedule_payout_job: the one payout job of a complete settlement.
--
-- Called by: the settlement trigger at commit, and complete_settlement.
-- Safe to repeat: a settlement that has its job keeps it, nothing is written.
-- Locks: the settlement's row, so that concurrent events make one job.
-- Raises: SP310 unknown settlement; SP202 still pending; SP301 to SP308.

create or replace function payout.schedule_payout_job(p_settlement_id text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
    v_payout_job_id bigint;
    v_transfers integer;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    if not found then
        raise exception 'settlement % does not exist', p_settlement_id
            using errcode = 'SP310';
    end if;

    select j.payout_job_id into v_payout_job_id
    from payout.payout_jobs as j
    where j.settlement_id = p_settlement_id;

    if found then
        return v_payout_job_id;
    end if;

    if v_settlement.state <> 'complete' then
        raise exception 'settlement % is still pending', p_settlement_id
            using
                errcode = 'SP202',
                hint = 'Set its state to complete; that schedules its payouts.';
    end if;

    v_transfers := payout.check_settlement(v_settlement);

    insert into payout.payout_jobs (settlement_id)
    values (p_settlement_id)
    returning payout_job_id into v_payout_job_id;

    perform payout.create_transfers(
        v_settlement, v_payout_job_id,
        payout.ring_for_job(v_payout_job_id, v_transfers, v_settlement.pay_after));

    return v_payout_job_id;
end
$$;
comment on function payout.schedule_payout_job(text) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable.';
-- end frozen: procedures/scheduling/schedule_payout_job.sql

-- frozen: procedures/api/operator/doctor.sql dd51fa05b3fe
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
$$;
comment on function payout_api.doctor() is
    'Checks server, guards, queue and books; hint says what to do where is_ok is false.';
revoke execute on function payout_api.doctor() from public;
grant execute on function payout_api.doctor() to payout_worker, payout_operator, payout_auditor;
-- end frozen: procedures/api/operator/doctor.sql

-- frozen: procedures/api/worker/claim_transfers.sql 9e69d718c747
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
comment on function payout_api.claim_transfers(text, integer, bigint) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine is on hold. Seconds count from before the call.';
revoke execute on function payout_api.claim_transfers(text, integer, bigint) from public;
grant execute on function payout_api.claim_transfers(text, integer, bigint) to payout_worker;
-- end frozen: procedures/api/worker/claim_transfers.sql

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

-- frozen: procedures/doctor/check_books.sql d11f1af7ba61
-- check_books: whether the books agree with the transfers, and hold no secret.

create or replace function payout.check_books()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'books balance', count(*) = 0,
        coalesce(string_agg(b.currency, ', '), 'every currency'),
        'payout_api.hold(''engine'', …) and select * from payout_api.trial_balance'
    from payout_api.trial_balance as b
    where b.difference_minor <> 0 or b.in_flight_minor <> b.open_transfers_minor
    union all
    select 'every complete settlement is scheduled', count(*) = 0,
        format('%s are not', count(*)),
        'select payout.schedule_payout_job(settlement_id), as superuser'
    from payout.settlements as s
    where s.state = 'complete'
        and not exists (
            select from payout.payout_jobs as j where j.settlement_id = s.settlement_id
        )
    union all
    select 'no discrepancy is open', count(*) = 0,
        coalesce(string_agg(distinct d.kind, ', '), 'none'),
        'select * from payout.discrepancies where resolved_at is null'
    from payout.discrepancies as d
    where d.resolved_at is null
    union all
    select 'no secret in any row', count(*) = 0,
        coalesce(string_agg(distinct x.place, ', '), 'settlements, observations, actions, holds'),
        'revoke that key at Stripe, then find out who wrote it'
    from (
        select 'settlements.metadata', s.metadata::text from payout.settlements as s
        union all
        select 'transfer_observations',
            concat_ws(' ', o.facts, o.error_code, o.error_type, o.reason, o.stripe_request_id)
        from payout.transfer_observations as o
        union all
        select 'operator_actions', concat_ws(' ', a.reason, a.subject, a.details)
        from payout.operator_actions as a
        union all
        select 'holds', concat_ws(' ', h.reason, h.subject, h.release_reason)
        from payout.holds as h
        union all
        select 'discrepancies', concat_ws(' ', d.ours, d.theirs, d.resolution)
        from payout.discrepancies as d
    ) as x (place, content)
    where x.content ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;
comment on function payout.check_books() is
    'Part of payout_api.doctor(): books and transfers agree, nothing is forgotten, no secret is '
    'stored.';
-- end frozen: procedures/doctor/check_books.sql

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

-- frozen: procedures/doctor/check_queue.sql 70b57d4dd3f4
-- check_queue: whether the doorbell can ring and is being answered.

create or replace function payout.check_queue()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'the doorbell can ring',
        payout.has_queue() and exists (
            select from pg_proc as p
            where p.pronamespace = to_regnamespace('procrastinate')
                and p.proname = 'procrastinate_defer_jobs_v1'
        ),
        'procrastinate''s schema, functions and rights', 'payout-engine migrate'
    union all
    select 'somebody sweeps', count(*) = 0,
        format('%s leases ran out over a minute ago', count(*)),
        'start a worker, or select * from payout_api.sweep()'
    from payout.transfer_states as s
    where s.lease_until < clock_timestamp() - interval '1 minute'
    union all
    select 'somebody claims', count(*) = 0,
        format('%s transfers have been due for over five minutes', count(*)),
        'start a worker; select * from payout_api.unpaid order by next_attempt_at'
    from payout.transfer_states as s
    where s.next_attempt_at < clock_timestamp() - interval '5 minutes'
    union all
    select 'nothing is on hold', count(*) = 0,
        coalesce(string_agg(format('%s (%s)', concat_ws(' ', h.scope, h.subject), h.reason), ', '),
            'no hold'),
        'payout_api.release_hold(hold_id, reason) once the cause is gone'
    from payout.holds as h
    where h.released_at is null
$$;
comment on function payout.check_queue() is
    'Part of payout_api.doctor(): the queue is installed, rung and answered, nothing is on hold.';
-- end frozen: procedures/doctor/check_queue.sql

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

-- frozen: procedures/doctor/check_server.sql bf67f225b408
-- check_server: whether the server is one the engine can trust with a claim.

create or replace function payout.check_server()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'server version',
        current_setting('server_version_num')::integer / 10000 between 15 and 18,
        current_setting('server_version'), 'The engine is tested on PostgreSQL 15 to 18.'
    union all
    select 'server keeps commits',
        not pg_is_in_recovery() and current_setting('fsync') = 'on'
            and current_setting('synchronous_commit') not in ('off', 'local')
            and current_setting('full_page_writes') = 'on',
        format('fsync %s, synchronous_commit %s, full_page_writes %s, in recovery %s',
            current_setting('fsync'), current_setting('synchronous_commit'),
            current_setting('full_page_writes'), pg_is_in_recovery()),
        'Claims are refused on a server that may lose them.'
    union all
    select 'nobody may create temporary objects',
        not has_database_privilege('public', current_database(), 'TEMPORARY'),
        format('database %s', current_database()),
        format('revoke temporary on database %I from public', current_database())
$$;
comment on function payout.check_server() is 'Part of payout_api.doctor(): version, durability.';
-- end frozen: procedures/doctor/check_server.sql

-- frozen: procedures/doorbell/answer_doorbells.sql 216d3cb99c05
-- answer_doorbells: take bells out of the queue whose transfers were just claimed.
--
-- Called by: claim_transfers, in its transaction. The claiming worker goes on
-- until nothing is due, so that no wake-up is lost; if it dies, the sweep rings.

create or replace function payout.answer_doorbells(p_doorbell_ids bigint[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
as $$
declare
    v_answered integer;
begin
    if p_doorbell_ids is null or not payout.has_queue() then
        return 0;
    end if;
    delete from procrastinate.procrastinate_jobs as q
    where q.id in (
        select b.id
        from procrastinate.procrastinate_jobs as b
        where b.id = any (p_doorbell_ids)
            and b.status = 'todo'
            and b.task_name = 'payout.execute'
        for update skip locked
    );
    get diagnostics v_answered = row_count;
    return v_answered;
end
$$;
comment on function payout.answer_doorbells(bigint[]) is
    'Deletes the queue jobs of these ids that no worker has fetched yet; returns how many.';
-- end frozen: procedures/doorbell/answer_doorbells.sql

-- frozen: procedures/doorbell/clear_lost_doorbells.sql c8ddefd4d97b
-- clear_lost_doorbells: remove bells that a worker fetched and never finished.
--
-- procrastinate leaves such a job `doing` for ever when its worker died or its
-- finish was lost. A bell is answered within seconds, so after two minutes it
-- is lost; what it rang for has long been rung for again. Failed ones stay a day.

create or replace function payout.clear_lost_doorbells()
returns integer
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
as $$
declare
    v_cleared integer;
begin
    if not payout.has_queue() then
        return 0;
    end if;
    delete from procrastinate.procrastinate_jobs as q
    where q.id in (
        select b.id
        from procrastinate.procrastinate_jobs as b
        where b.task_name in ('payout.execute', 'payout.sweep')
            and b.status <> 'todo'
            and (
                select max(e.at) from procrastinate.procrastinate_events as e where e.job_id = b.id
            ) < payout.clock() - case b.status
                when 'doing' then interval '2 minutes'
                else interval '1 day'
            end
        for update skip locked
    );
    get diagnostics v_cleared = row_count;
    return v_cleared;
end
$$;
comment on function payout.clear_lost_doorbells() is
    'Deletes queue jobs of ours that have been `doing` for two minutes or ended a day ago.';
-- end frozen: procedures/doorbell/clear_lost_doorbells.sql

-- frozen: procedures/doorbell/defer_job.sql 9091c6257ad3
-- defer_job: ring for a payout job, by queue jobs that any worker may fetch.
--
-- procrastinate's functions name their tables bare, hence its schema in the path
-- of the functions here that write to the queue. Neither lock nor queueing lock:
-- a duplicate would abort the settlement. Without a queue the sweep will ring.

create or replace function payout.defer_job(p_payout_job_id bigint, p_times integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
as $$
begin
    if p_times < 1 or not payout.has_queue() then
        return '{}'::bigint[];
    end if;
    return procrastinate.procrastinate_defer_jobs_v1(array_fill(
        row(
            'payouts', 'payout.execute', 0, null, null,
            jsonb_build_object('payout_job_id', p_payout_job_id), null
        )::procrastinate.procrastinate_job_to_defer_v1,
        array[p_times]));
end
$$;
comment on function payout.defer_job(bigint, integer) is
    'Defers p_times queue jobs payout.execute in queue payouts; returns their ids, none without '
    'procrastinate''s schema.';
-- end frozen: procedures/doorbell/defer_job.sql

-- frozen: procedures/doorbell/has_queue.sql 4f77e2d36db4
-- has_queue: whether there is a queue to ring.
--
-- The queue is only a doorbell: without it, or without rights on it, money is
-- settled and paid all the same, as soon as a sweep or a worker looks.

create or replace function payout.has_queue()
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_regnamespace('procrastinate') is null
        or not has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        or to_regclass('procrastinate.procrastinate_jobs') is null
        or to_regclass('procrastinate.procrastinate_events') is null
        or to_regclass('procrastinate.procrastinate_periodic_defers') is null
        or to_regtype('procrastinate.procrastinate_job_to_defer_v1') is null
        or to_regprocedure('procrastinate.procrastinate_defer_jobs_v1('
            'procrastinate.procrastinate_job_to_defer_v1[])') is null then
        return false;
    end if;
    return has_function_privilege('procrastinate.procrastinate_defer_jobs_v1('
            'procrastinate.procrastinate_job_to_defer_v1[])', 'execute')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'select')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'insert')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'update')
        and has_table_privilege('procrastinate.procrastinate_jobs', 'delete')
        and has_table_privilege('procrastinate.procrastinate_events', 'select')
        and has_table_privilege('procrastinate.procrastinate_events', 'insert')
        and has_table_privilege('procrastinate.procrastinate_periodic_defers', 'select')
        and has_table_privilege('procrastinate.procrastinate_periodic_defers', 'update')
        and has_sequence_privilege('procrastinate.procrastinate_jobs_id_seq', 'usage')
        and has_sequence_privilege('procrastinate.procrastinate_events_id_seq', 'usage');
end
$$;
comment on function payout.has_queue() is
    'True when procrastinate''s schema is there and the engine may write to it.';
-- end frozen: procedures/doorbell/has_queue.sql

-- frozen: procedures/doorbell/ring_doorbells.sql b87cf12aeb22
-- ring_doorbells: ring for what is due and has no bell in the queue.
--
-- That is what waits to be tried again, what had a pay_after, and what lost its
-- bell with a worker or with the queue. A bell that somebody has fetched is none:
-- its worker either claims soon or is gone. Nothing rings for what is on hold.
-- Locks: progress rows, skipping those that somebody else has locked.

create or replace function payout.ring_doorbells(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_settings payout.engine_settings;
    v_due bigint[];
    v_doorbells bigint[];
begin
    if not payout.has_queue()
        or exists (
            select from payout.holds as h where h.scope = 'engine' and h.released_at is null
        ) then
        return 0;
    end if;
    perform payout.clear_lost_doorbells();
    select * into strict v_settings from payout.engine_settings;

    v_due := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.next_attempt_at <= p_now
            and s.state in ('scheduled', 'retry_wait', 'unknown')
            and (s.doorbell_id is null
                or s.next_attempt_at <= p_now - v_settings.ring_again_after)
            and not exists (
                select from procrastinate.procrastinate_jobs as q
                where q.id = s.doorbell_id and q.status = 'todo'
                    and q.task_name = 'payout.execute'
            )
            and not case
                when t.currency = any ((select payout.held_subjects('currency'))::text[]) then true
                when t.payee_id = any ((select payout.held_subjects('payee'))::text[]) then true
                else t.settlement_id = any ((select payout.held_subjects('settlement'))::text[])
            end
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

    v_doorbells := payout.defer_job(
        (select t.payout_job_id from payout.payout_transfers as t
            where t.payout_transfer_id = v_due[1]),
        ceil(cardinality(v_due)::numeric / v_settings.transfers_per_doorbell)::integer);

    update payout.transfer_states as s
    set doorbell_id = v_doorbells[1 + (d.place - 1) / v_settings.transfers_per_doorbell]
    from unnest(v_due) with ordinality as d (payout_transfer_id, place)
    where s.payout_transfer_id = d.payout_transfer_id;

    return cardinality(v_doorbells);
end
$$;
comment on function payout.ring_doorbells(timestamptz, integer) is
    'Rings for up to p_limit due transfers without a bell in the queue; returns the bells rung.';
-- end frozen: procedures/doorbell/ring_doorbells.sql

-- frozen: procedures/doorbell/ring_for_job.sql 545b63c6a587
-- ring_for_job: ring once for every so many transfers of a job that is being scheduled.
--
-- Nothing rings before pay_after: the queue's fetch would walk past it each time.

create or replace function payout.ring_for_job(
    p_payout_job_id bigint, p_transfers integer, p_pay_after timestamptz
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_pay_after > now() then
        return '{}'::bigint[];
    end if;
    if p_transfers = 1 then
        return payout.defer_job(p_payout_job_id, 1);
    end if;
    return payout.defer_job(p_payout_job_id, (
        select (p_transfers + e.transfers_per_doorbell - 1) / e.transfers_per_doorbell
        from payout.engine_settings as e));
end
$$;
comment on function payout.ring_for_job(bigint, integer, timestamptz) is
    'Defers the queue jobs of a new payout job, one for each transfers_per_doorbell (of '
    'engine_settings) transfers; none before pay_after.';
-- end frozen: procedures/doorbell/ring_for_job.sql

reset role;
