-- Revert 0010-reconcile.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: sql/error_codes.sql e698b1e14e14
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
    ('SP314', 'an approval without what it needs', 'correct the call'),
    ('SP330', 'no such seal, or no head of seals', 'correct the call'),
    ('SP320', 'the gate or the Stripe account without what its change needs', 'correct the call'),
    ('SP340', 'a page of Stripe''s list that is not the next one', 'correct the call'),
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

-- frozen: procedures/doctor/check_guards.sql 8c4595e0a8b9
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
    select 'guards are enabled always', count(*) filter (where t.tgenabled = 'A') = 60,
        coalesce(string_agg(format('%s on %s', t.tgname, t.tgrelid::regclass), ', ')
            filter (where t.tgenabled <> 'A'), format('%s of 60 guards', count(*))),
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

-- frozen: procedures/doctor/expected_rights.sql a8e14e177764
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
            '^payout_api[.](doctor|open_discrepancies)[(]'),
        ('payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](verify_projection|verify_seals|seal_head|balances_as_of)[(]')
$$;
comment on function payout.expected_rights() is
    'Part of payout_api.doctor(): the rights that the migrations give.';
-- end frozen: procedures/doctor/expected_rights.sql

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

-- dropped: sql/views/reconcile_progress.sql
drop view if exists payout_api.reconcile_progress;
-- end dropped: sql/views/reconcile_progress.sql

-- dropped: sql/views/discrepancies.sql
drop view if exists payout_api.discrepancies;
-- end dropped: sql/views/discrepancies.sql

-- dropped: procedures/reconcile/transfer_facts.sql
drop function if exists payout.transfer_facts(payout.payout_transfers, boolean);
-- end dropped: procedures/reconcile/transfer_facts.sql

-- dropped: procedures/reconcile/take_sightings.sql
drop function if exists payout.take_sightings(payout.stripe_sightings[], bigint);
-- end dropped: procedures/reconcile/take_sightings.sql

-- dropped: procedures/reconcile/take_events.sql
drop function if exists payout.take_events(jsonb);
-- end dropped: procedures/reconcile/take_events.sql

-- dropped: procedures/reconcile/start_run.sql
drop function if exists payout.start_run(text);
-- end dropped: procedures/reconcile/start_run.sql

-- dropped: procedures/reconcile/sighting_outcome.sql
drop function if exists payout.sighting_outcome(payout.stripe_sightings, payout.transfer_states);
-- end dropped: procedures/reconcile/sighting_outcome.sql

-- dropped: procedures/reconcile/runs_of_this_place.sql
drop function if exists payout.runs_of_this_place();
-- end dropped: procedures/reconcile/runs_of_this_place.sql

-- dropped: procedures/reconcile/reversals_problem.sql
drop function if exists payout.reversals_problem(payout.payout_transfers, jsonb);
-- end dropped: procedures/reconcile/reversals_problem.sql

-- dropped: procedures/reconcile/reversals_finding.sql
drop function if exists payout.reversals_finding(payout.payout_transfers, text, text, jsonb);
-- end dropped: procedures/reconcile/reversals_finding.sql

-- dropped: procedures/reconcile/reversal_list_problem.sql
drop function if exists payout.reversal_list_problem(text, jsonb);
-- end dropped: procedures/reconcile/reversal_list_problem.sql

-- dropped: procedures/reconcile/resolve_findings.sql
drop function if exists payout.resolve_findings(bigint);
-- end dropped: procedures/reconcile/resolve_findings.sql

-- dropped: procedures/reconcile/resolve_adopted.sql
drop function if exists payout.resolve_adopted(text[]);
-- end dropped: procedures/reconcile/resolve_adopted.sql

-- dropped: procedures/reconcile/refuse_list.sql
drop function if exists payout.refuse_list(text, text);
-- end dropped: procedures/reconcile/refuse_list.sql

-- dropped: procedures/reconcile/record_findings.sql
drop function if exists payout.record_findings(payout.finding[], bigint);
-- end dropped: procedures/reconcile/record_findings.sql

-- dropped: procedures/reconcile/reconcile_page_problem.sql
drop function if exists payout.reconcile_page_problem(payout.reconcile_runs, text, jsonb, boolean);
-- end dropped: procedures/reconcile/reconcile_page_problem.sql

-- dropped: procedures/reconcile/read_sightings.sql
drop function if exists payout.read_sightings(bigint, jsonb);
-- end dropped: procedures/reconcile/read_sightings.sql

-- dropped: procedures/reconcile/park_seen.sql
drop function if exists payout.park_seen(bigint[]);
-- end dropped: procedures/reconcile/park_seen.sql

-- dropped: procedures/reconcile/note_reversals.sql
drop function if exists payout.note_reversals(payout.stripe_sightings[]);
-- end dropped: procedures/reconcile/note_reversals.sql

-- dropped: procedures/reconcile/list_problem.sql
drop function if exists payout.list_problem(jsonb, text);
-- end dropped: procedures/reconcile/list_problem.sql

-- dropped: procedures/reconcile/keep_sightings.sql
drop function if exists payout.keep_sightings(payout.stripe_sightings[]);
-- end dropped: procedures/reconcile/keep_sightings.sql

-- dropped: procedures/reconcile/finding_advice.sql
drop function if exists payout.finding_advice(text);
-- end dropped: procedures/reconcile/finding_advice.sql

-- dropped: procedures/reconcile/find_missing.sql
drop function if exists payout.find_missing(payout.reconcile_runs);
-- end dropped: procedures/reconcile/find_missing.sql

-- dropped: procedures/reconcile/events_read_until.sql
drop function if exists payout.events_read_until();
-- end dropped: procedures/reconcile/events_read_until.sql

-- dropped: procedures/reconcile/events_page_problem.sql
drop function if exists payout.events_page_problem(jsonb, text, jsonb, boolean);
-- end dropped: procedures/reconcile/events_page_problem.sql

-- dropped: procedures/reconcile/compare_sightings.sql
drop function if exists payout.compare_sightings(payout.stripe_sightings[]);
-- end dropped: procedures/reconcile/compare_sightings.sql

-- dropped: procedures/reconcile/close_reversal_lookup.sql
drop function if exists payout.close_reversal_lookup(payout.payout_transfers, text, text);
-- end dropped: procedures/reconcile/close_reversal_lookup.sql

-- dropped: procedures/reconcile/book_reversals.sql
drop function if exists payout.book_reversals(payout.payout_transfers, jsonb);
-- end dropped: procedures/reconcile/book_reversals.sql

-- dropped: procedures/reconcile/adopt_sightings.sql
drop function if exists payout.adopt_sightings(text[]);
-- end dropped: procedures/reconcile/adopt_sightings.sql

-- dropped: procedures/reconcile/adopt_seen.sql
drop function if exists payout.adopt_seen(bigint[]);
-- end dropped: procedures/reconcile/adopt_seen.sql

-- dropped: procedures/reconcile/add_reconcile_page.sql
drop function if exists payout.add_reconcile_page(payout.reconcile_runs, text, jsonb, boolean);
-- end dropped: procedures/reconcile/add_reconcile_page.sql

-- dropped: procedures/api/worker/report_reversals.sql
drop function if exists payout_api.report_reversals(text, jsonb);
-- end dropped: procedures/api/worker/report_reversals.sql

-- dropped: procedures/api/worker/report_reconcile_page.sql
drop function if exists payout_api.report_reconcile_page(bigint, text, jsonb, boolean);
-- end dropped: procedures/api/worker/report_reconcile_page.sql

-- dropped: procedures/api/worker/report_events_page.sql
drop function if exists payout_api.report_events_page(jsonb, text, jsonb, boolean);
-- end dropped: procedures/api/worker/report_events_page.sql

-- dropped: procedures/api/worker/next_events_query.sql
drop function if exists payout_api.next_events_query(text, boolean);
-- end dropped: procedures/api/worker/next_events_query.sql

-- dropped: procedures/api/worker/claim_reversal_lookups.sql
drop function if exists payout_api.claim_reversal_lookups(text, integer, text, boolean);
-- end dropped: procedures/api/worker/claim_reversal_lookups.sql

-- dropped: procedures/api/worker/begin_reconcile.sql
drop function if exists payout_api.begin_reconcile(text, text, boolean);
-- end dropped: procedures/api/worker/begin_reconcile.sql

-- dropped: procedures/api/operator/resolve_discrepancy.sql
drop function if exists payout_api.resolve_discrepancy(bigint, text);
-- end dropped: procedures/api/operator/resolve_discrepancy.sql

drop type payout.finding;
drop table payout.event_pages;
drop table payout.reversed_transfers;
drop index payout.discrepancies_open_stripe_transfer_id_idx;
drop index payout.discrepancies_open_payout_transfer_id_idx;
drop index payout.discrepancies_kind_stripe_transfer_id_finding_key;
alter table payout.discrepancies
    drop constraint runs_resolve_findings,
    drop constraint findings_name_a_transfer,
    drop column resolved_by_run_id,
    drop column last_found_by_run_id,
    drop column found_by_run_id,
    drop column is_finding;
drop table payout.stripe_sightings;
drop table payout.reconcile_pages;
drop index payout.reconcile_runs_one_goes_on_key;
alter table payout.reconcile_runs
    drop constraint expected_is_not_negative,
    drop constraint run_is_finished_or_abandoned,
    drop column abandoned_at,
    drop column transfers_expected,
    drop column worker;

reset role;
