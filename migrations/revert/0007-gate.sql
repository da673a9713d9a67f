-- Revert 0007-gate.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

alter table payout.reconcile_runs
    drop column table_oid,
    drop column database_oid,
    drop column timeline_id,
    drop column system_identifier;

-- frozen: sql/error_codes.sql 1d2b54f92772
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
    ('SP401', 'the server may lose what it commits, so nothing is handed out', 'try later'),
    ('SP402', 'another transaction came first: repeat this one', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_auditor;
-- end frozen: sql/error_codes.sql

-- dropped: procedures/api/worker/claim_transfers.sql
drop function if exists payout_api.claim_transfers(text, integer, bigint, text, boolean);
-- end dropped: procedures/api/worker/claim_transfers.sql

-- frozen: procedures/api/worker/claim_transfers.sql 60a5a5a6e906
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
comment on function payout_api.claim_transfers(text, integer, bigint) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine is on hold. Seconds count from before the call.';
revoke execute on function payout_api.claim_transfers(text, integer, bigint) from public;
grant execute on function payout_api.claim_transfers(text, integer, bigint) to payout_worker;
-- end frozen: procedures/api/worker/claim_transfers.sql

-- dropped: procedures/api/operator/doctor.sql
drop function if exists payout_api.doctor(text, boolean);
-- end dropped: procedures/api/operator/doctor.sql

-- frozen: procedures/api/operator/doctor.sql f16ebf4270a5
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
    union all
    select * from payout.check_seals()
$$;
comment on function payout_api.doctor() is
    'Checks server, guards, queue, books and seals; hint says what to do where is_ok is false.';
revoke execute on function payout_api.doctor() from public;
grant execute on function payout_api.doctor() to payout_worker, payout_operator, payout_auditor;
-- end frozen: procedures/api/operator/doctor.sql

-- frozen: procedures/doctor/check_guards.sql 5b44e1e5fb79
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
    select 'guards are enabled always', count(*) filter (where t.tgenabled = 'A') = 53,
        coalesce(string_agg(format('%s on %s', t.tgname, t.tgrelid::regclass), ', ')
            filter (where t.tgenabled <> 'A'), format('%s of 53 guards', count(*))),
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

-- frozen: procedures/doctor/check_rights.sql 31c29a9bd2f0
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
                ('payout_worker|payout_operator', 'EXECUTE', '^payout_api[.](sweep|seal)[(]'),
                ('payout_operator', 'EXECUTE', '^payout_api[.](hold|release_hold)[(]'),
                ('payout_worker|payout_operator|payout_auditor', 'EXECUTE',
                    '^payout_api[.]doctor[(]'),
                ('payout_operator|payout_auditor', 'EXECUTE',
                    '^payout_api[.](verify_projection|verify_seals|seal_head|balances_as_of)[(]')
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

-- dropped: procedures/epoch/where_we_are.sql
drop function if exists payout.where_we_are();
-- end dropped: procedures/epoch/where_we_are.sql

-- dropped: procedures/epoch/refuse_other_stripe_account.sql
drop function if exists payout.refuse_other_stripe_account(text, boolean);
-- end dropped: procedures/epoch/refuse_other_stripe_account.sql

-- dropped: procedures/epoch/refuse_closed_gate.sql
drop function if exists payout.refuse_closed_gate(text, boolean);
-- end dropped: procedures/epoch/refuse_closed_gate.sql

-- dropped: procedures/epoch/name_stripe_account.sql
drop function if exists payout.name_stripe_account(text, boolean);
-- end dropped: procedures/epoch/name_stripe_account.sql

-- dropped: procedures/epoch/gate_problem.sql
drop function if exists payout.gate_problem();
-- end dropped: procedures/epoch/gate_problem.sql

-- dropped: procedures/doctor/expected_rights.sql
drop function if exists payout.expected_rights();
-- end dropped: procedures/doctor/expected_rights.sql

-- dropped: procedures/doctor/check_gate.sql
drop function if exists payout.check_gate(text, boolean);
-- end dropped: procedures/doctor/check_gate.sql

-- dropped: procedures/api/operator/open_gate.sql
drop function if exists payout_api.open_gate(text, boolean);
-- end dropped: procedures/api/operator/open_gate.sql

-- dropped: procedures/api/operator/change_stripe_account.sql
drop function if exists payout_api.change_stripe_account(text, boolean, text);
-- end dropped: procedures/api/operator/change_stripe_account.sql

alter table payout.engine_settings drop column stripe_account_id;
drop table payout.epochs;

reset role;
