-- 0010-reconcile: compare all of Stripe's transfers with the books, both ways; book reversals; what Stripe has is not sent again
-- depends: 0009-open-discrepancies

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- squawk-ignore-file constraint-missing-not-valid, require-concurrent-index-creation, adding-field-with-default
-- Tables of an engine that has just been installed are small: they may be locked and read.

alter table payout.reconcile_runs
    add column worker text,
    add column transfers_expected bigint not null default 0,
    add column abandoned_at timestamptz,
    add constraint run_is_finished_or_abandoned check (
        finished_at is null or abandoned_at is null),
    add constraint expected_is_not_negative check (transfers_expected >= 0);
comment on column payout.reconcile_runs.worker is 'Who began it; others may have gone on with it.';
comment on column payout.reconcile_runs.transfers_expected is
    'Transfers that were reported paid here within the window, when the run began.';
comment on column payout.reconcile_runs.abandoned_at is
    'Given up: it was made in another place, or before the gate was closed.';
create unique index reconcile_runs_one_goes_on_key on payout.reconcile_runs ((true))
    where finished_at is null and abandoned_at is null;

create table payout.reconcile_pages (
    reconcile_run_id bigint not null,
    page_number integer not null,
    starting_after text,
    last_id text,
    has_more boolean not null,
    stripe_transfer_ids text[] not null,
    received_at timestamptz not null default now(),
    constraint reconcile_pages_pkey primary key (reconcile_run_id, page_number),
    constraint reconcile_pages_reconcile_run_id_starting_after_key
        unique nulls not distinct (reconcile_run_id, starting_after),
    constraint pages_count_from_one check (page_number >= 1),
    constraint only_an_empty_list_has_no_last_id check (
        last_id is not null or (page_number = 1 and stripe_transfer_ids = '{}' and not has_more))
);
comment on table payout.reconcile_pages is
    'A page of Stripe''s list that a run has taken: what it said is in findings and sightings, '
    'here are the ids that it named.';
comment on column payout.reconcile_pages.starting_after is
    'The last id of the page before; null: the first page.';
comment on column payout.reconcile_pages.received_at is 'When a worker reported it.';
comment on column payout.reconcile_pages.last_id is 'After which the next page starts.';

create table payout.stripe_sightings (
    stripe_transfer_id text not null,
    payout_ref text not null,
    amount_minor bigint,
    amount_reversed_minor bigint not null,
    currency payout.currency_code,
    destination text,
    is_livemode boolean,
    named_payout_ref text,
    named_settlement text,
    created_at timestamptz not null,
    reconcile_run_id bigint,
    seen_at timestamptz not null,
    constraint stripe_sightings_pkey primary key (stripe_transfer_id)
);
comment on table payout.stripe_sightings is
    'Transfers that Stripe had when these books did not say that it had paid by them. A transfer '
    'with such a payout_ref is never sent: it becomes paid, or an alarm.';
comment on column payout.stripe_sightings.payout_ref is
    'Whose it is: by its transfer_group, else by its metadata.';
comment on column payout.stripe_sightings.named_payout_ref is
    'payout_ref in its metadata, by which a success is judged.';
comment on column payout.stripe_sightings.amount_minor is
    'With the next columns: as Stripe listed it; null: not to be read.';
comment on column payout.stripe_sightings.amount_reversed_minor is
    'What had been taken back of it when it was seen first.';
comment on column payout.stripe_sightings.named_settlement is 'settlement_id in its metadata.';
comment on column payout.stripe_sightings.created_at is 'When Stripe made it, by Stripe''s clock.';
comment on column payout.stripe_sightings.reconcile_run_id is 'The run that saw it first; null: an event did.';
comment on column payout.stripe_sightings.seen_at is 'When that run saw it, by our clock.';
create index stripe_sightings_payout_ref_idx on payout.stripe_sightings (payout_ref);

alter table payout.discrepancies
    add column is_finding boolean not null default false,
    add column found_by_run_id bigint,
    add column last_found_by_run_id bigint,
    add column resolved_by_run_id bigint,
    add constraint findings_name_a_transfer check (
        not is_finding or stripe_transfer_id is not null),
    add constraint runs_resolve_findings check (
        resolved_by_run_id is null or (is_finding and resolved_at is not null));
comment on column payout.discrepancies.is_finding is
    'Found by comparing with Stripe, so that a later comparison may find it again, or no longer.';
comment on column payout.discrepancies.found_by_run_id is
    'The reconcile run that found it first; null: found in another way.';
comment on column payout.discrepancies.last_found_by_run_id is 'The last run that found it.';
comment on column payout.discrepancies.resolved_by_run_id is
    'The run that saw the transfer and found nothing wrong; then it may be found anew.';
create unique index discrepancies_kind_stripe_transfer_id_finding_key
    on payout.discrepancies (kind, stripe_transfer_id)
    where is_finding and resolved_by_run_id is null;

create index discrepancies_open_payout_transfer_id_idx
    on payout.discrepancies (payout_transfer_id) where resolved_at is null;
create index discrepancies_open_stripe_transfer_id_idx
    on payout.discrepancies (stripe_transfer_id) where resolved_at is null;

create table payout.reversed_transfers (
    stripe_transfer_id text not null,
    amount_reversed_minor bigint not null,
    next_lookup_at timestamptz,
    noted_at timestamptz not null default now(),
    constraint reversed_transfers_pkey primary key (stripe_transfer_id),
    constraint amount_is_positive check (amount_reversed_minor > 0)
);
comment on table payout.reversed_transfers is
    'Transfers of ours of which Stripe has taken something back, and whether the books have it.';
comment on column payout.reversed_transfers.amount_reversed_minor is
    'The most that was seen taken back, in minor units of the transfer''s currency.';
comment on column payout.reversed_transfers.next_lookup_at is
    'When its reversals are to be read; null: they are booked, or a person must look.';
comment on column payout.reversed_transfers.noted_at is 'When a reversal of it was seen first.';
create index reversed_transfers_next_lookup_at_idx
    on payout.reversed_transfers (next_lookup_at) where next_lookup_at is not null;

create table payout.event_pages (
    event_page_id bigint not null generated always as identity,
    query jsonb not null,
    created_until timestamptz not null,
    starting_after text,
    last_id text,
    has_more boolean not null,
    events_seen integer not null,
    received_at timestamptz not null default now(),
    constraint event_pages_pkey primary key (event_page_id),
    constraint event_pages_query_starting_after_key
        unique nulls not distinct (query, starting_after),
    constraint seen_is_not_negative check (events_seen >= 0),
    constraint only_an_empty_list_has_no_last_id check (
        last_id is not null or (events_seen = 0 and not has_more))
);
comment on table payout.event_pages is
    'A page of Stripe''s events about reversed transfers that was taken. What was read to its last '
    'page says where the next query begins.';
comment on column payout.event_pages.query is 'The parameters of GET /v1/events that it answers.';
comment on column payout.event_pages.created_until is
    'The query names events from before this time, by Stripe''s clock.';
comment on column payout.event_pages.received_at is 'When a worker reported it.';
create index event_pages_created_until_idx
    on payout.event_pages (created_until) where not has_more;

create type payout.finding as (
    kind text,
    payout_transfer_id bigint,
    stripe_transfer_id text,
    ours jsonb,
    theirs jsonb
);
comment on type payout.finding is
    'Where Stripe and the books disagree about a transfer, before it is a row of discrepancies.';

grant select on payout.reconcile_pages, payout.stripe_sightings, payout.reversed_transfers,
    payout.event_pages to payout_operator, payout_auditor;
create trigger _500_refuse_change before update or delete on payout.reconcile_pages
    for each row execute function payout.tg__refuse_change();
alter table payout.reconcile_pages enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.reconcile_pages
    for each statement execute function payout.tg__refuse_change();
alter table payout.reconcile_pages enable always trigger _500_refuse_truncate;
create trigger _500_refuse_change before update or delete on payout.stripe_sightings
    for each row execute function payout.tg__refuse_change();
alter table payout.stripe_sightings enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.stripe_sightings
    for each statement execute function payout.tg__refuse_change();
alter table payout.stripe_sightings enable always trigger _500_refuse_truncate;
create trigger _500_refuse_change before update or delete on payout.event_pages
    for each row execute function payout.tg__refuse_change();
alter table payout.event_pages enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.event_pages
    for each statement execute function payout.tg__refuse_change();
alter table payout.event_pages enable always trigger _500_refuse_truncate;
create trigger _500_refuse_delete before delete on payout.reversed_transfers
    for each row execute function payout.tg__refuse_change();
alter table payout.reversed_transfers enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.reversed_transfers
    for each statement execute function payout.tg__refuse_change();
alter table payout.reversed_transfers enable always trigger _500_refuse_truncate;

-- frozen: procedures/api/operator/open_gate.sql c4a7ed88d064
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
                hint = 'docs/restore.md: payout-engine reconcile, then open the gate; or pass '
                    'p_without_reconcile => true if nothing can have been forgotten.';
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

-- frozen: procedures/api/operator/resolve_discrepancy.sql b6f920d2613c
-- resolve_discrepancy: a person has looked at a discrepancy, and says what came of it.
--
-- Called by: operator. It stays as a row, and is not found a second time.
-- Safe to repeat: what is resolved stays as it was resolved.
-- Locks: the discrepancy's row.
-- Raises: SP310 unknown discrepancy; SP313 no reason.

create or replace function payout_api.resolve_discrepancy(
    p_discrepancy_id bigint, p_reason text
)
returns payout.discrepancies
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_discrepancy payout.discrepancies;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot resolve discrepancy % without a reason', p_discrepancy_id
            using
                errcode = 'SP313',
                hint = 'Say what was found and what was done about it.';
    end if;

    select * into v_discrepancy
    from payout.discrepancies as d
    where d.discrepancy_id = p_discrepancy_id
    for update;
    if not found then
        raise exception 'discrepancy % does not exist', p_discrepancy_id
            using
                errcode = 'SP310',
                hint = 'select * from payout_api.discrepancies';
    end if;
    if v_discrepancy.resolved_at is not null then
        return v_discrepancy;
    end if;

    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = session_user,
        resolution = p_reason
    where d.discrepancy_id = p_discrepancy_id
    returning * into v_discrepancy;

    insert into payout.operator_actions (action, subject, reason, details)
    values ('resolve_discrepancy', v_discrepancy.kind, p_reason,
        jsonb_build_object('discrepancy_id', p_discrepancy_id));
    return v_discrepancy;
end
$$;
comment on function payout_api.resolve_discrepancy(bigint, text) is
    'Resolves a discrepancy with a reason; it releases no hold and moves no money. Safe to repeat.';
revoke execute on function payout_api.resolve_discrepancy(bigint, text) from public;
grant execute on function payout_api.resolve_discrepancy(bigint, text) to payout_operator;
-- end frozen: procedures/api/operator/resolve_discrepancy.sql

-- frozen: procedures/api/worker/begin_reconcile.sql 00cf3d42386b
-- begin_reconcile: begin to compare all of Stripe's transfers with the books, or go on with it.
--
-- Called by: worker. It only looks, so neither a hold nor the gate is asked.
-- Safe to repeat, and at once from many places: there is one run, and pages that
-- were taken stay taken.
-- Raises: SP404 (refuse_other_stripe_account); SP341 nobody's run.

create or replace function payout_api.begin_reconcile(
    p_worker text, p_stripe_account_id text, p_is_livemode boolean
)
returns table (
    reconcile_run_id bigint,
    query jsonb,
    starting_after text,
    transfers_seen bigint,
    transfers_expected bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
    if coalesce(btrim(p_worker), '') = '' or p_stripe_account_id is null then
        perform payout.refuse_list(
            format('reconcile of %s by %s', coalesce(p_stripe_account_id, 'nothing'),
                coalesce(nullif(btrim(p_worker), ''), 'nobody')),
            'name the worker and its Stripe account');
    end if;

    if not exists (
        select from payout.runs_of_this_place() as r where r.finished_at is null
    ) then
        perform payout.start_run(p_worker);
    end if;

    -- The clocks here and at Stripe may differ.
    return query
    select r.reconcile_run_id,
        jsonb_build_object('created', jsonb_build_object(
            'gte', greatest(0, floor(extract(epoch from r.created_from - interval '1 hour'))),
            'lt', ceil(extract(epoch from r.created_until + interval '5 minutes')))),
        r.next_cursor, r.transfers_seen, r.transfers_expected
    from payout.runs_of_this_place() as r
    where r.finished_at is null;
end
$$;
comment on function payout_api.begin_reconcile(text, text, boolean) is
    'The run that goes on: parameters of GET /v1/transfers, the id after which its next page '
    'starts (null: from the newest), transfers seen so far, and how many these books expect.';
revoke execute on function payout_api.begin_reconcile(text, text, boolean) from public;
grant execute on function payout_api.begin_reconcile(text, text, boolean) to payout_worker;
-- end frozen: procedures/api/worker/begin_reconcile.sql

-- frozen: procedures/api/worker/claim_reversal_lookups.sql 1f6ebd8c89d4
-- claim_reversal_lookups: hand a worker the transfers whose reversals are to be read.
--
-- Called by: worker. What no transfer here is paid by waits until one is.
-- Safe to repeat: what nobody reports on is handed out anew after ten minutes.
-- Locks: rows of reversed_transfers, skipping those that somebody else has.
-- Raises: SP404 (refuse_other_stripe_account); SP311 limit out of range.

create or replace function payout_api.claim_reversal_lookups(
    p_worker text,
    p_limit integer default 20,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null
)
returns table (stripe_transfer_id text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_now timestamptz := payout.clock();
begin
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
    if p_worker is null or coalesce(p_limit, 0) not between 1 and 1000 then
        raise exception 'claim of % look-ups by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'nobody')
            using
                errcode = 'SP311',
                hint = 'Name the worker, ask for 1 to 1000.';
    end if;

    return query
    with due as (
        select r.stripe_transfer_id
        from payout.reversed_transfers as r
        where r.next_lookup_at <= v_now
            and exists (
                select from payout.transfer_states as s
                where s.stripe_transfer_id = r.stripe_transfer_id
            )
        order by r.next_lookup_at
        limit p_limit
        for update skip locked
    )
    update payout.reversed_transfers as r
    set next_lookup_at = v_now + interval '10 minutes'
    from due as d
    where r.stripe_transfer_id = d.stripe_transfer_id
    returning r.stripe_transfer_id;
end
$$;
comment on function payout_api.claim_reversal_lookups(text, integer, text, boolean) is
    'Hands out up to p_limit transfers of which Stripe has taken back more than is booked.';
revoke execute on function payout_api.claim_reversal_lookups(text, integer, text, boolean)
    from public;
grant execute on function payout_api.claim_reversal_lookups(text, integer, text, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/claim_reversal_lookups.sql

-- frozen: procedures/api/worker/claim_transfers.sql 5f3929556c57
-- claim_transfers: hand a worker the transfers that are due, each under a lease.
--
-- Called by: worker. One call serves many transfers; nobody waits for anybody.
-- Not handed out: what is on hold, what was first sent under its key longer ago than
-- the send window (Stripe may have forgotten the key), what was seen at Stripe.
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
    v_due_ids bigint[];
    v_doorbell_ids bigint[];
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

    select array_agg(d.payout_transfer_id), array_agg(distinct d.doorbell_id)
    into v_due_ids, v_doorbell_ids
    from payout.lock_due_transfers(
        v_now, v_now - v_settings.send_window_for, p_limit, p_payout_job_id) as d;
    perform payout.answer_doorbells(v_doorbell_ids);
    v_due_ids := payout.adopt_seen(v_due_ids);
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
        where s.payout_transfer_id = any (v_due_ids)
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
comment on function payout_api.claim_transfers(text, integer, bigint, text, boolean) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine is on hold. The Stripe account is that of the worker''s key. Seconds '
    'count from before the call.';
revoke execute on function payout_api.claim_transfers(text, integer, bigint, text, boolean)
    from public;
grant execute on function payout_api.claim_transfers(text, integer, bigint, text, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/claim_transfers.sql

-- frozen: procedures/api/worker/next_events_query.sql cce9e30fba38
-- next_events_query: which of Stripe's events are to be read next.
--
-- Called by: worker. It changes nothing: the watermark moves with the last page.
-- Windows overlap by an hour, for events that Stripe lists late.
-- Raises: SP404 (refuse_other_stripe_account).

create or replace function payout_api.next_events_query(
    p_stripe_account_id text, p_is_livemode boolean
)
returns table (query jsonb)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
    return query
    select jsonb_build_object(
        'types', jsonb_build_array('transfer.reversed'),
        'created', jsonb_build_object(
            'gte', floor(extract(epoch from payout.events_read_until() - interval '1 hour')),
            'lt', ceil(extract(epoch from payout.clock() + interval '5 minutes'))));
end
$$;
comment on function payout_api.next_events_query(text, boolean) is
    'Parameters of GET /v1/events for what happened since the events were last read to the end.';
revoke execute on function payout_api.next_events_query(text, boolean) from public;
grant execute on function payout_api.next_events_query(text, boolean) to payout_worker;
-- end frozen: procedures/api/worker/next_events_query.sql

-- frozen: procedures/api/worker/report_events_page.sql 1bed97300b21
-- report_events_page: take a page of Stripe's events about reversed transfers.
--
-- Called by: worker. With the last page of a query the next one begins where it ended.
-- Safe to repeat: a page that was taken before changes nothing.
-- Raises: SP341 another query than was given out, a page out of order or malformed.

create or replace function payout_api.report_events_page(
    p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean
)
returns table (events_new integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_problem text;
begin
    if exists (
        select from payout.event_pages as p
        where p.query = p_query and p.starting_after is not distinct from p_starting_after
    ) then
        return query select 0;
        return;
    end if;
    v_problem := payout.events_page_problem(p_query, p_starting_after, p_events, p_has_more);
    if v_problem is not null then
        perform payout.refuse_list('events', v_problem);
    end if;

    insert into payout.event_pages (
        query, created_until, starting_after, last_id, has_more, events_seen)
    values (
        p_query, to_timestamp((p_query #>> '{created,lt}')::double precision), p_starting_after,
        coalesce(p_events -> -1 ->> 'id', p_starting_after), p_has_more,
        jsonb_array_length(p_events))
    on conflict do nothing;
    -- Another worker may have brought it meanwhile; what it says counts once all the same.
    return query select payout.take_events(p_events);
end
$$;
comment on function payout_api.report_events_page(jsonb, text, jsonb, boolean) is
    'Takes a page of events, as Stripe sent it, with the query that it answers; returns how many '
    'transfers were reversed further than was known.';
revoke execute on function payout_api.report_events_page(jsonb, text, jsonb, boolean) from public;
grant execute on function payout_api.report_events_page(jsonb, text, jsonb, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/report_events_page.sql

-- frozen: procedures/api/worker/report_reconcile_page.sql b30dc7ec5485
-- report_reconcile_page: take the next page of Stripe's list of transfers and compare it.
--
-- Called by: worker. With the last page the run is finished.
-- Safe to repeat: a page that was taken before changes nothing.
-- Locks: the run's row; the progress rows of transfers found, in id order.
-- Raises: SP341 unknown run, a page out of order (with the cursor expected) or malformed.

create or replace function payout_api.report_reconcile_page(
    p_reconcile_run_id bigint,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns table (transfers_seen bigint, discrepancies_found bigint, is_finished boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_run payout.reconcile_runs;
    v_problem text;
begin
    select * into v_run
    from payout.reconcile_runs as r
    where r.reconcile_run_id = p_reconcile_run_id
    for update;

    if not exists (
        select from payout.reconcile_pages as p
        where p.reconcile_run_id = p_reconcile_run_id
            and (p.starting_after = p_starting_after
                or (p.page_number = 1 and p_starting_after is null))
    ) then
        v_problem := payout.reconcile_page_problem(
            v_run, p_starting_after, p_transfers, p_has_more);
        if v_problem is not null then
            perform payout.refuse_list(
                format('reconcile run %s', coalesce(p_reconcile_run_id::text, 'null')), v_problem);
        end if;
        v_run := payout.add_reconcile_page(v_run, p_starting_after, p_transfers, p_has_more);
    end if;
    return query
    select v_run.transfers_seen, v_run.discrepancies_found, v_run.finished_at is not null;
end
$$;
comment on function payout_api.report_reconcile_page(bigint, text, jsonb, boolean) is
    'Takes a page of a run, as Stripe sent it; returns what the run has seen and found so far, '
    'and whether it is finished.';
revoke execute on function payout_api.report_reconcile_page(bigint, text, jsonb, boolean)
    from public;
grant execute on function payout_api.report_reconcile_page(bigint, text, jsonb, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/report_reconcile_page.sql

-- frozen: procedures/api/worker/report_reversals.sql 5d9dbf24fca3
-- report_reversals: book what Stripe has taken back of a transfer.
--
-- Called by: worker, with all reversals of the transfer. It stays paid.
-- Safe to repeat: each reversal is booked once.
-- Locks: the transfer's row of reversed_transfers.
-- Raises: SP341 a transfer without reversals, or unknown here; a malformed list.

create or replace function payout_api.report_reversals(
    p_stripe_transfer_id text, p_reversals jsonb
)
returns table (reversals_booked integer, is_complete boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_transfer payout.payout_transfers;
    v_wanted_minor bigint;
    v_problem text := payout.reversal_list_problem(p_stripe_transfer_id, p_reversals);
    v_booked integer := 0;
begin
    select r.amount_reversed_minor into v_wanted_minor
    from payout.reversed_transfers as r
    where r.stripe_transfer_id = p_stripe_transfer_id
    for update;
    select t.* into v_transfer
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.stripe_transfer_id = p_stripe_transfer_id and v_wanted_minor > 0;
    if v_problem is not null or v_transfer.payout_transfer_id is null then
        perform payout.refuse_list(
            format('reversals of %s', coalesce(p_stripe_transfer_id, 'null')),
            coalesce(v_problem, 'nothing of a transfer that is paid by it was seen reversed'));
    end if;

    v_problem := payout.reversals_problem(v_transfer, p_reversals);
    if v_problem is null then
        v_booked := payout.book_reversals(v_transfer, p_reversals);
    else
        perform payout.record_findings(array[payout.reversals_finding(
            v_transfer, p_stripe_transfer_id, v_problem, p_reversals)], null);
    end if;
    return query
    select v_booked, payout.close_reversal_lookup(v_transfer, p_stripe_transfer_id, v_problem);
end
$$;
comment on function payout_api.report_reversals(text, jsonb) is
    'Takes all of Stripe''s reversals of a transfer; returns how many were booked now, and whether '
    'all that was seen taken back is booked.';
revoke execute on function payout_api.report_reversals(text, jsonb) from public;
grant execute on function payout_api.report_reversals(text, jsonb) to payout_worker;
-- end frozen: procedures/api/worker/report_reversals.sql

-- frozen: procedures/doctor/check_gate.sql 9f13aa2da328
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
        'docs/restore.md: payout-engine reconcile, then select payout_api.open_gate(reason)'
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

-- frozen: procedures/doctor/check_guards.sql c2ade4d34192
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
    select 'guards are enabled always', count(*) filter (where t.tgenabled = 'A') = 68,
        coalesce(string_agg(format('%s on %s', t.tgname, t.tgrelid::regclass), ', ')
            filter (where t.tgenabled <> 'A'), format('%s of 68 guards', count(*))),
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

-- frozen: procedures/doctor/expected_rights.sql 93639d97765c
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
        ('payout_worker', 'EXECUTE',
            '^payout_api[.](begin_reconcile|report_reconcile_page|next_events_query|'
            'report_events_page|claim_reversal_lookups|report_reversals)[(]'),
        ('payout_worker|payout_operator', 'EXECUTE', '^payout_api[.](sweep|seal)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.](hold|release_hold)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.]resolve_discrepancy[(]'),
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

-- frozen: procedures/epoch/refuse_closed_gate.sql 5a43f8cdb921
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
                hint = 'docs/restore.md: payout-engine reconcile, '
                    'then select payout_api.open_gate(reason).';
    end if;
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
end
$$;
comment on function payout.refuse_closed_gate(text, boolean) is
    'Refuses to go on where the database was not adopted, or for another Stripe account.';
-- end frozen: procedures/epoch/refuse_closed_gate.sql

-- frozen: procedures/reconcile/add_reconcile_page.sql ecc4ce3ccff2
-- add_reconcile_page: keep a page, compare it with the books, and finish with the last one.
--
-- Called by: report_reconcile_page, which holds the lock of the run.

create or replace function payout.add_reconcile_page(
    p_run payout.reconcile_runs,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns payout.reconcile_runs
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_run payout.reconcile_runs;
    v_seen payout.stripe_sightings[] := array(
        select g from payout.read_sightings(p_run.reconcile_run_id, p_transfers) as g);
    v_last_id text := coalesce(p_transfers -> -1 ->> 'id', p_starting_after);
    v_found integer;
begin
    insert into payout.reconcile_pages (
        reconcile_run_id, page_number, starting_after, last_id, has_more, stripe_transfer_ids)
    select p_run.reconcile_run_id, coalesce(max(p.page_number), 0) + 1, p_starting_after,
        v_last_id, p_has_more, array(select g.stripe_transfer_id from unnest(v_seen) as g)
    from payout.reconcile_pages as p
    where p.reconcile_run_id = p_run.reconcile_run_id;

    v_found := payout.take_sightings(v_seen, p_run.reconcile_run_id);
    perform payout.note_reversals(v_seen);
    if not p_has_more then
        v_found := v_found + payout.record_findings(
            array(select f from payout.find_missing(p_run) as f), p_run.reconcile_run_id);
        perform payout.resolve_findings(p_run.reconcile_run_id);
    end if;

    update payout.reconcile_runs as r
    set next_cursor = v_last_id,
        transfers_seen = r.transfers_seen + cardinality(v_seen),
        discrepancies_found = r.discrepancies_found + v_found,
        finished_at = case when not p_has_more then payout.clock() end
    where r.reconcile_run_id = p_run.reconcile_run_id
    returning * into strict v_run;
    return v_run;
end
$$;
comment on function payout.add_reconcile_page(payout.reconcile_runs, text, jsonb, boolean) is
    'Takes the next page of a run: findings, adopted transfers, the run''s progress.';
-- end frozen: procedures/reconcile/add_reconcile_page.sql

-- frozen: procedures/reconcile/adopt_seen.sql fef673d7b17a
-- adopt_seen: of transfers that are about to be sent, those that Stripe has already are not.
--
-- Called by: claim_transfers, which holds the locks. A database that was restored
-- has forgotten them; reconcile has seen them.

create or replace function payout.adopt_seen(p_payout_transfer_ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_seen_ids bigint[];
    v_sightings text[];
begin
    if not exists (select from payout.stripe_sightings) then
        return p_payout_transfer_ids;
    end if;
    select array_agg(t.payout_transfer_id), array_agg(g.stripe_transfer_id)
    into v_seen_ids, v_sightings
    from payout.payout_transfers as t
    join payout.stripe_sightings as g on g.payout_ref = t.payout_ref
    where t.payout_transfer_id = any (p_payout_transfer_ids);

    if v_seen_ids is null then
        return p_payout_transfer_ids;
    end if;
    perform payout.adopt_sightings(v_sightings);
    return array(
        select i.payout_transfer_id
        from unnest(p_payout_transfer_ids) as i (payout_transfer_id)
        where i.payout_transfer_id <> all (v_seen_ids));
end
$$;
comment on function payout.adopt_seen(bigint[]) is
    'Adopts what was seen at Stripe and returns the others, which may be sent.';
-- end frozen: procedures/reconcile/adopt_seen.sql

-- frozen: procedures/reconcile/adopt_sightings.sql a2044c786df1
-- adopt_sightings: transfers that were seen at Stripe become paid here, or an alarm.
--
-- Each is judged as any success under the key that is current. Two sightings of
-- one transfer are judged one after the other: the second is an alarm.
-- Locks: the transfers' progress rows, in id order.

create or replace function payout.adopt_sightings(p_stripe_transfer_ids text[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_ids bigint[];
    v_outcomes payout.outcome[];
    v_alarms integer := 0;
begin
    if p_stripe_transfer_ids = '{}' then
        return 0;
    end if;
    v_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (array(
            select t.payout_transfer_id
            from payout.stripe_sightings as g
            join payout.payout_transfers as t on t.payout_ref = g.payout_ref
            where g.stripe_transfer_id = any (p_stripe_transfer_ids)))
        order by s.payout_transfer_id
        for update);
    perform payout.park_seen(v_ids);

    for v_outcomes in
        select array_agg(o.outcome)
        from (
            select
                payout.sighting_outcome(g, s) as outcome,
                row_number() over (
                    partition by s.payout_transfer_id order by g.created_at, g.stripe_transfer_id
                ) as turn
            from payout.stripe_sightings as g
            join payout.payout_transfers as t on t.payout_ref = g.payout_ref
            join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
            where g.stripe_transfer_id = any (p_stripe_transfer_ids)
        ) as o
        group by o.turn
        order by o.turn
    loop
        v_alarms := v_alarms + (
            select count(*) filter (where r.verdict = 'alarm')
            from payout.record_outcomes(v_outcomes) as r)::integer;
    end loop;
    perform payout.resolve_adopted(p_stripe_transfer_ids);
    return v_alarms;
end
$$;
comment on function payout.adopt_sightings(text[]) is
    'Judges stored sightings of transfers that are known here; returns how many were alarms.';
-- end frozen: procedures/reconcile/adopt_sightings.sql

-- frozen: procedures/reconcile/book_reversals.sql 931b5a402718
-- book_reversals: what Stripe took back is owed to the payee again, each reversal once.
--
-- Called by: report_reversals. The transfer stays paid: whether it is to be paid
-- anew is for people to say, with another settlement.

create or replace function payout.book_reversals(
    p_transfer payout.payout_transfers, p_reversals jsonb
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_booked integer;
begin
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
        currency, stripe_reversal_id)
    select p_transfer.payout_transfer_id, 'reversal', s.generation, 'stripe_balance',
        'payable:' || p_transfer.payee_id, (r.reversal ->> 'amount')::bigint, p_transfer.currency,
        r.reversal ->> 'id'
    from jsonb_array_elements(p_reversals) with ordinality as r (reversal, position)
    join payout.transfer_states as s on s.payout_transfer_id = p_transfer.payout_transfer_id
    order by r.position desc
    on conflict (stripe_reversal_id) where stripe_reversal_id is not null do nothing;
    get diagnostics v_booked = row_count;
    return v_booked;
end
$$;
comment on function payout.book_reversals(payout.payout_transfers, jsonb) is
    'Books reversals that are not booked yet, oldest first; returns how many.';
-- end frozen: procedures/reconcile/book_reversals.sql

-- frozen: procedures/reconcile/close_reversal_lookup.sql f3e062db99d7
-- close_reversal_lookup: whether the books have all that was seen taken back of a transfer.
--
-- If not, Stripe's list of reversals lags behind: it is read again later. What
-- contradicts the transfer waits for a person, or until more is taken back.

create or replace function payout.close_reversal_lookup(
    p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_is_complete boolean;
begin
    update payout.reversed_transfers as r
    set next_lookup_at = case
            when p_problem is null and b.booked_minor < r.amount_reversed_minor
                then payout.clock() + interval '10 minutes'
        end,
        amount_reversed_minor = greatest(r.amount_reversed_minor, b.booked_minor)
    from (
        select coalesce(sum(e.amount_minor), 0)::bigint as booked_minor
        from payout.ledger_entries as e
        where e.payout_transfer_id = p_transfer.payout_transfer_id and e.kind = 'reversal'
    ) as b
    where r.stripe_transfer_id = p_stripe_transfer_id
    returning b.booked_minor >= r.amount_reversed_minor into strict v_is_complete;
    return v_is_complete;
end
$$;
comment on function payout.close_reversal_lookup(payout.payout_transfers, text, text) is
    'True when all that was seen taken back is booked; decides when its reversals are read again.';
-- end frozen: procedures/reconcile/close_reversal_lookup.sql

-- frozen: procedures/reconcile/compare_sightings.sql a7406c26965e
-- compare_sightings: what Stripe lists and these books cannot explain.
--
-- Not here: transfers of ours that are not paid by what was seen; those are
-- judged as any success (adopt_sightings).
-- What others made before the engine was installed is nobody's concern.

create or replace function payout.compare_sightings(p_seen payout.stripe_sightings[])
returns setof payout.finding
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    return query
    select
        k.kind, t.payout_transfer_id, g.stripe_transfer_id,
        case when t.payout_transfer_id is not null then
            payout.transfer_facts(t, e.is_livemode) else '{}' end,
        jsonb_strip_nulls(to_jsonb(g) - array['stripe_transfer_id', 'reconcile_run_id', 'seen_at'])
    from unnest(p_seen) as g
    cross join payout.engine_settings as e
    left join payout.transfer_states as s on s.stripe_transfer_id = g.stripe_transfer_id
    left join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    cross join lateral (select case
        when t.payout_transfer_id is not null then case
            when (g.payout_ref, g.amount_minor, g.currency::text, g.destination, g.is_livemode)
                is distinct from (
                    t.payout_ref, t.amount_minor, t.currency::text, t.destination, e.is_livemode)
                then 'differs_at_stripe'
        end
        when g.payout_ref is null then case
            when g.created_at > (select min(o.recorded_at) from payout.epochs as o)
                - interval '1 day' then 'transfer_without_payout_ref'
        end
        when not exists (
            select from payout.payout_transfers as o where o.payout_ref = g.payout_ref
        ) then 'unknown_transfer_at_stripe'
    end) as k (kind)
    where k.kind is not null;
end
$$;
comment on function payout.compare_sightings(payout.stripe_sightings[]) is
    'Findings about listed transfers: other content than paid here, made by somebody else, or '
    'unknown here.';
-- end frozen: procedures/reconcile/compare_sightings.sql

-- frozen: procedures/reconcile/events_page_problem.sql 484ebd960aa9
-- events_page_problem: why a page of Stripe's events cannot be taken.
--
-- The query must be one that next_events_query gives out now, or has before: a
-- later start would leave a gap.

create or replace function payout.events_page_problem(
    p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_former payout.event_pages;
begin
    if p_query is null or p_query -> 'types' is distinct from '["transfer.reversed"]'
        or coalesce(p_query #>> '{created,gte}' !~ '^[0-9]{1,11}$', true)
        or coalesce(p_query #>> '{created,lt}' !~ '^[0-9]{1,11}$', true)
        or to_timestamp((p_query #>> '{created,gte}')::double precision)
            > payout.events_read_until()
        or to_timestamp((p_query #>> '{created,lt}')::double precision)
            > payout.clock() + interval '10 minutes' then
        return 'the query was not given out by next_events_query';
    end if;

    select * into v_former
    from payout.event_pages as p
    where p.query = p_query
    order by p.event_page_id desc
    limit 1;
    return coalesce(
        payout.page_problem(
            v_former.last_id, v_former.has_more, p_starting_after, p_events, p_has_more),
        payout.list_problem(p_events, '^evt_[A-Za-z0-9_]+$'),
        (
            select 'the page holds an event that is not about a transfer'
            from jsonb_array_elements(p_events) as e
            where payout.list_problem(
                jsonb_build_array(e #> '{data,object}'), '^tr_[A-Za-z0-9_]+$') is not null
            limit 1
        ));
end
$$;
comment on function payout.events_page_problem(jsonb, text, jsonb, boolean) is
    'Why this is no page of events that is to be taken now, with the cursor expected; null: it is.';
-- end frozen: procedures/reconcile/events_page_problem.sql

-- frozen: procedures/reconcile/events_read_until.sql 93a38641bc41
-- events_read_until: up to when Stripe's events have been read to the end.
--
-- Stripe keeps events for 30 days. What is older shows in the list of transfers.

create or replace function payout.events_read_until()
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (select max(p.created_until) from payout.event_pages as p where not p.has_more),
        payout.clock() - interval '30 days');
end
$$;
comment on function payout.events_read_until() is
    'The end of the last window of events of which every page was taken.';
-- end frozen: procedures/reconcile/events_read_until.sql

-- frozen: procedures/reconcile/find_missing.sql 0170a4fe3ba0
-- find_missing: transfers that are paid here, and that a whole run did not see at Stripe.
--
-- Compared is what was first sent and reported within the run's window: Stripe
-- made it in between. Windows overlap by more than a key may be sent.

create or replace function payout.find_missing(p_run payout.reconcile_runs)
returns setof payout.finding
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = on
as $$
begin
    return query
    with seen as materialized (
        select i.stripe_transfer_id
        from payout.reconcile_pages as p
        cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
        where p.reconcile_run_id = p_run.reconcile_run_id
    )
    select
        'missing_at_stripe', t.payout_transfer_id, s.stripe_transfer_id,
        payout.transfer_facts(t, c.is_livemode), '{}'::jsonb
    from payout.ledger_entries as e
    join payout.transfer_states as s on s.payout_transfer_id = e.payout_transfer_id
    join payout.payout_transfers as t on t.payout_transfer_id = e.payout_transfer_id
    cross join payout.engine_settings as c
    where e.kind = 'paid'
        and e.created_at >= p_run.created_from
        and e.created_at < p_run.created_until
        and s.state = 'paid'
        and s.first_sent_at >= p_run.created_from
        and not exists (
            select from seen as i where i.stripe_transfer_id = s.stripe_transfer_id
        );
end
$$;
comment on function payout.find_missing(payout.reconcile_runs) is
    'Findings at the end of a run: paid here, not in Stripe''s list.';
-- end frozen: procedures/reconcile/find_missing.sql

-- frozen: procedures/reconcile/finding_advice.sql ea29fb44c796
-- finding_advice: what a person does about a kind of finding.

create or replace function payout.finding_advice(p_kind text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case p_kind
        when 'missing_at_stripe' then
            'Look the id up at Stripe. If it is not there nobody was paid: find out who reported '
            'it, and settle it anew under another settlement.'
        when 'differs_at_stripe' then
            'Look both up. What Stripe has is what was paid: correct the difference with another '
            'settlement, or reverse it at Stripe.'
        when 'reversals_contradict_transfer' then
            'Look the transfer and its reversals up at Stripe. They do not belong to it as it was '
            'paid, so none of them was booked.'
        when 'transfer_without_payout_ref' then
            'Somebody, or other software, paid past the engine. If it pays a settlement, hold '
            'that settlement before it is sent; then resolve this with the reason.'
        when 'unknown_transfer_at_stripe' then
            'This database does not know it: was it restored? Record its settlement again, '
            'unchanged: the transfer becomes paid and is not sent. If it will never be recorded, '
            'reverse the transfer at Stripe, or resolve this with the reason.'
    end;
end
$$;
comment on function payout.finding_advice(text) is 'The next step for a kind of finding.';
-- end frozen: procedures/reconcile/finding_advice.sql

-- frozen: procedures/reconcile/keep_sightings.sql b597ea995040
-- keep_sightings: remember what Stripe has of ours and these books do not say so.
--
-- Whether it is known here yet or not: what was seen is never sent (adopt_seen).

create or replace function payout.keep_sightings(p_seen payout.stripe_sightings[])
returns setof text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    return query
    with unexplained as materialized (
        select g.*
        from unnest(p_seen) as g
        where g.payout_ref is not null
            and not exists (
                select from payout.transfer_states as s
                where s.stripe_transfer_id = g.stripe_transfer_id
            )
    ), kept as (
        insert into payout.stripe_sightings
        select u.* from unexplained as u
        on conflict do nothing
        returning stripe_transfer_id
    )
    select u.stripe_transfer_id
    from unexplained as u
    join payout.payout_transfers as t on t.payout_ref = u.payout_ref
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where case
        when s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked') then true
        -- Its next key is scheduled by itself, and then not sent.
        when s.state = 'failed' and s.next_attempt_at is not null then false
        else u.stripe_transfer_id in (select k.stripe_transfer_id from kept as k)
    end;
end
$$;
comment on function payout.keep_sightings(payout.stripe_sightings[]) is
    'Stores sightings that no paid transfer explains; returns those that are to be judged now.';
-- end frozen: procedures/reconcile/keep_sightings.sql

-- frozen: procedures/reconcile/list_problem.sql 733e7921dbb0
-- list_problem: what is wrong with the objects of a page of one of Stripe's lists.
--
-- That it is the page which comes next is for page_problem to say.

create or replace function payout.list_problem(p_objects jsonb, p_id_pattern text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from jsonb_array_elements(p_objects) as o
        where jsonb_typeof(o) <> 'object'
            or coalesce(o ->> 'id' !~ p_id_pattern or length(o ->> 'id') > 255, true)
            or coalesce(o ->> 'created' !~ '^[0-9]{1,11}$', true)
    ) then
        return 'the page holds something of another kind, or without a time';
    elsif jsonb_array_length(p_objects) <> (
        select count(distinct o ->> 'id') from jsonb_array_elements(p_objects) as o
    ) then
        return 'the page names an object twice';
    end if;
    return null;
end
$$;
comment on function payout.list_problem(jsonb, text) is
    'Why these are no objects with such ids, each once and with the time it was made; null: they '
    'are.';
-- end frozen: procedures/reconcile/list_problem.sql

-- frozen: procedures/reconcile/note_reversals.sql 64f69fb7a2c6
-- note_reversals: of which of our transfers Stripe has taken back more than was known.
--
-- The amount only grows, so that what is seen twice or late changes nothing.

create or replace function payout.note_reversals(p_seen payout.stripe_sightings[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_noted integer;
begin
    insert into payout.reversed_transfers as r (
        stripe_transfer_id, amount_reversed_minor, next_lookup_at)
    select g.stripe_transfer_id, max(g.amount_reversed_minor), payout.clock()
    from unnest(p_seen) as g
    where g.amount_reversed_minor > 0
        and (g.payout_ref is not null or exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = g.stripe_transfer_id))
    group by g.stripe_transfer_id
    on conflict (stripe_transfer_id) do update
    set amount_reversed_minor = excluded.amount_reversed_minor,
        next_lookup_at = excluded.next_lookup_at
    where r.amount_reversed_minor < excluded.amount_reversed_minor;
    get diagnostics v_noted = row_count;
    return v_noted;
end
$$;
comment on function payout.note_reversals(payout.stripe_sightings[]) is
    'Has the reversals of transfers looked up where more was taken back than was known; returns '
    'of how many.';
-- end frozen: procedures/reconcile/note_reversals.sql

-- frozen: procedures/reconcile/park_seen.sql fda117895074
-- park_seen: a transfer that Stripe has already does not wait to be sent.
--
-- Called by: adopt_sightings, which holds the locks. From `parked` a success that
-- was found counts as any other.

create or replace function payout.park_seen(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    with parked as (
        update payout.transfer_states as s
        set state = 'parked',
            next_attempt_at = null,
            doorbell_id = null,
            reason = 'seen_at_stripe',
            changed_at = payout.clock()
        where s.payout_transfer_id = any (p_payout_transfer_ids)
            and s.state = 'scheduled'
        returning s.payout_transfer_id, s.generation, s.attempt
    )
    insert into payout.transfer_observations (
        payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason)
    select p.payout_transfer_id, p.generation, p.attempt, 'looked_up', 'ok', 'parked',
        'seen_at_stripe'
    from parked as p
    order by p.payout_transfer_id;
end
$$;
comment on function payout.park_seen(bigint[]) is
    'Parks those of the transfers that are scheduled, with the observation that says why.';
-- end frozen: procedures/reconcile/park_seen.sql

-- frozen: procedures/reconcile/read_sightings.sql 70fc194aef84
-- read_sightings: a page of Stripe's list of transfers, as rows.
--
-- transfer_group says whose a transfer is, where it is ours: unlike metadata nobody
-- can edit it, so that what was paid is not sent again because metadata are gone.
-- A part that cannot be read is null, and then differs from whatever is owed.

create or replace function payout.read_sightings(p_reconcile_run_id bigint, p_transfers jsonb)
returns setof payout.stripe_sightings
language plpgsql
volatile
rows 100
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        t ->> 'id',
        case
            when t ->> 'transfer_group' ~ '^payout_[0-9a-f]{40}$' then t ->> 'transfer_group'
            else t #>> '{metadata,payout_ref}'
        end,
        case when t ->> 'amount' ~ '^[0-9]{1,18}$' then (t ->> 'amount')::bigint end,
        case
            when t ->> 'amount_reversed' ~ '^[0-9]{1,18}$' then (t ->> 'amount_reversed')::bigint
            else 0
        end,
        substring(t ->> 'currency' from '^[a-z]{3}$')::payout.currency_code,
        t ->> 'destination',
        case when jsonb_typeof(t -> 'livemode') = 'boolean' then (t -> 'livemode')::boolean end,
        t #>> '{metadata,payout_ref}',
        t #>> '{metadata,settlement_id}',
        to_timestamp((t ->> 'created')::double precision),
        p_reconcile_run_id,
        payout.clock()
    from jsonb_array_elements(p_transfers) as t;
end
$$;
comment on function payout.read_sightings(bigint, jsonb) is
    'Transfers as Stripe lists them, one row each; null is what cannot be read.';
-- end frozen: procedures/reconcile/read_sightings.sql

-- frozen: procedures/reconcile/reconcile_page_problem.sql 95f831329725
-- reconcile_page_problem: what is wrong with a page that a run has not taken yet.

create or replace function payout.reconcile_page_problem(
    p_run payout.reconcile_runs,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_run.reconcile_run_id is null then
        return 'there is no such run';
    elsif not exists (
        select from payout.runs_of_this_place() as r
        where r.reconcile_run_id = p_run.reconcile_run_id
    ) then
        return 'the run does not count here any more: begin another one';
    elsif p_run.finished_at is not null then
        return 'the run has all of its pages';
    end if;
    return coalesce(
        payout.page_problem(
            p_run.next_cursor, true, p_starting_after, p_transfers, p_has_more),
        payout.list_problem(p_transfers, '^tr_[A-Za-z0-9_]+$'));
end
$$;
comment on function payout.reconcile_page_problem(payout.reconcile_runs, text, jsonb, boolean) is
    'Why a page is not the next one of a run, with the cursor that is expected; null: it is.';
-- end frozen: procedures/reconcile/reconcile_page_problem.sql

-- frozen: procedures/reconcile/record_findings.sql b8b151ef3c2a
-- record_findings: keep where Stripe and the books disagree, and call a person about what is new.
--
-- What is found again is the same row, also when a person has resolved it; only
-- what a run no longer found, and now another does, is a new one.

create or replace function payout.record_findings(
    p_findings payout.finding[], p_reconcile_run_id bigint
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_new record;
    v_found integer;
begin
    if p_findings = '{}' then
        return 0;
    end if;
    for v_new in
        select f.kind, count(*) as findings, min(f.stripe_transfer_id) as example
        from unnest(p_findings) as f
        where not exists (
            select from payout.discrepancies as d
            where d.kind = f.kind
                and d.stripe_transfer_id = f.stripe_transfer_id
                and d.is_finding
                and d.resolved_by_run_id is null
        )
        group by f.kind
        order by f.kind
    loop
        perform payout.call_person(
            v_new.kind, format('%s found, %s among them', v_new.findings, v_new.example));
    end loop;

    insert into payout.discrepancies as d (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice, is_finding,
        found_by_run_id, last_found_by_run_id)
    select f.kind, f.payout_transfer_id, f.stripe_transfer_id, f.ours, f.theirs,
        payout.finding_advice(f.kind), true, p_reconcile_run_id, p_reconcile_run_id
    from unnest(p_findings) as f
    on conflict (kind, stripe_transfer_id) where is_finding and resolved_by_run_id is null
    do update set last_found_by_run_id = coalesce(
        excluded.last_found_by_run_id, d.last_found_by_run_id)
    where d.resolved_at is null;
    get diagnostics v_found = row_count;
    return v_found;
end
$$;
comment on function payout.record_findings(payout.finding[], bigint) is
    'Stores findings as discrepancies, each once; returns how many are open.';
-- end frozen: procedures/reconcile/record_findings.sql

-- frozen: procedures/reconcile/refuse_list.sql 9a200d5496d9
-- refuse_list: the one error for what was read of Stripe's lists and is not taken.
--
-- Raises: SP341, always.

create or replace function payout.refuse_list(p_what text, p_problem text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%: %', p_what, p_problem
        using
            errcode = 'SP341',
            hint = 'Read the list from where the database says, page by page, to its end.';
end
$$;
comment on function payout.refuse_list(text, text) is
    'Raises SP341 for a page or list of Stripe''s that is malformed or not the one expected.';
-- end frozen: procedures/reconcile/refuse_list.sql

-- frozen: procedures/reconcile/resolve_adopted.sql 216c6fc14959
-- resolve_adopted: what is paid by what was seen at Stripe, as it was asked for, is explained.

create or replace function payout.resolve_adopted(p_stripe_transfer_ids text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('Stripe has transfer %s as %s, as it was asked for.',
            s.payout_transfer_id, s.stripe_transfer_id)
    from payout.transfer_states as s
    where s.stripe_transfer_id = any (p_stripe_transfer_ids)
        and d.resolved_at is null
        and (
            d.stripe_transfer_id = s.stripe_transfer_id
            or (d.payout_transfer_id = s.payout_transfer_id and d.stripe_transfer_id is null)
        );
end
$$;
comment on function payout.resolve_adopted(text[]) is
    'Resolves discrepancies about transfers that are paid here by these sightings now.';
-- end frozen: procedures/reconcile/resolve_adopted.sql

-- frozen: procedures/reconcile/resolve_findings.sql fe41a40416f0
-- resolve_findings: what a finished run saw again, and found nothing wrong with, is resolved.

create or replace function payout.resolve_findings(p_reconcile_run_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = on
as $$
begin
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('reconcile run %s found it no longer', p_reconcile_run_id),
        resolved_by_run_id = p_reconcile_run_id
    where d.resolved_at is null
        and d.is_finding
        and d.last_found_by_run_id < p_reconcile_run_id
        and d.stripe_transfer_id in (
            select i.stripe_transfer_id
            from payout.reconcile_pages as p
            cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
            where p.reconcile_run_id = p_reconcile_run_id
        );
end
$$;
comment on function payout.resolve_findings(bigint) is
    'Resolves open findings about transfers that this run saw and did not find again.';
-- end frozen: procedures/reconcile/resolve_findings.sql

-- frozen: procedures/reconcile/reversal_list_problem.sql 7df9d595d610
-- reversal_list_problem: what is wrong with a list of the reversals of a transfer.

create or replace function payout.reversal_list_problem(
    p_stripe_transfer_id text, p_reversals jsonb
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := coalesce(
        payout.page_problem(null, null, null, p_reversals, false),
        payout.list_problem(p_reversals, '^trr_[A-Za-z0-9_]+$'));
begin
    if v_problem is null and exists (
        select from jsonb_array_elements(p_reversals) as r
        where r ->> 'transfer' is distinct from p_stripe_transfer_id
            or coalesce(r ->> 'amount' !~ '^[1-9][0-9]{0,17}$', true)
            or jsonb_typeof(r -> 'currency') is distinct from 'string'
    ) then
        v_problem := 'the list holds something that is no reversal of it';
    end if;
    return v_problem;
end
$$;
comment on function payout.reversal_list_problem(text, jsonb) is
    'Why this is no list of reversals of that transfer; null: it is.';
-- end frozen: procedures/reconcile/reversal_list_problem.sql

-- frozen: procedures/reconcile/reversals_finding.sql c326267f1bd1
-- reversals_finding: reversals that contradict their transfer, for a person to look at.

create or replace function payout.reversals_finding(
    p_transfer payout.payout_transfers,
    p_stripe_transfer_id text,
    p_problem text,
    p_reversals jsonb
)
returns payout.finding
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_finding payout.finding;
begin
    v_finding.kind := 'reversals_contradict_transfer';
    v_finding.payout_transfer_id := p_transfer.payout_transfer_id;
    v_finding.stripe_transfer_id := p_stripe_transfer_id;
    v_finding.ours := payout.transfer_facts(
        p_transfer, (select e.is_livemode from payout.engine_settings as e));
    v_finding.theirs := jsonb_build_object('problem', p_problem, 'reversals', (
        select jsonb_agg(jsonb_build_object(
            'id', r -> 'id', 'amount', r -> 'amount', 'currency', r -> 'currency'))
        from jsonb_array_elements(p_reversals) as r));
    return v_finding;
end
$$;
comment on function payout.reversals_finding(payout.payout_transfers, text, text, jsonb) is
    'The finding that says which reversals do not fit which transfer, and why.';
-- end frozen: procedures/reconcile/reversals_finding.sql

-- frozen: procedures/reconcile/reversals_problem.sql fecfc92d6d15
-- reversals_problem: why reversals cannot be those of a transfer that was paid here.

create or replace function payout.reversals_problem(
    p_transfer payout.payout_transfers, p_reversals jsonb
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from jsonb_array_elements(p_reversals) as r
        where r ->> 'currency' is distinct from p_transfer.currency::text
    ) then
        return 'another currency';
    elsif (
        select sum((r ->> 'amount')::numeric) from jsonb_array_elements(p_reversals) as r
    ) > p_transfer.amount_minor then
        return 'more than was paid';
    elsif exists (
        select from payout.ledger_entries as e
        join jsonb_array_elements(p_reversals) as r on r ->> 'id' = e.stripe_reversal_id
        where e.payout_transfer_id <> p_transfer.payout_transfer_id
            or e.amount_minor <> (r ->> 'amount')::bigint
    ) then
        return 'booked otherwise';
    end if;
    return null;
end
$$;
comment on function payout.reversals_problem(payout.payout_transfers, jsonb) is
    'What contradicts the transfer; null: nothing does.';
-- end frozen: procedures/reconcile/reversals_problem.sql

-- frozen: procedures/reconcile/runs_of_this_place.sql 1f096e9acfab
-- runs_of_this_place: the reconcile runs that count for this database as it is now.
--
-- A run that was made elsewhere, or before the gate was last closed, compared
-- another database or another Stripe account. The run that opened the gate counts.

create or replace function payout.runs_of_this_place()
returns setof payout.reconcile_runs
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select r.*
    from payout.reconcile_runs as r
    cross join payout.where_we_are() as w
    left join lateral (
        select e.recorded_at, e.reconcile_run_id
        from payout.epochs as e
        order by e.epoch_id desc
        limit 1
    ) as e on true
    where r.abandoned_at is null
        and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)
            = (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)
        and (e.recorded_at is null or r.started_at > e.recorded_at
            or r.reconcile_run_id >= e.reconcile_run_id)
$$;
comment on function payout.runs_of_this_place() is
    'Runs, finished or going on, that were made here since the gate was last opened or closed, '
    'and the one that opened it.';
-- end frozen: procedures/reconcile/runs_of_this_place.sql

-- frozen: procedures/reconcile/sighting_outcome.sql 8f14a20d0996
-- sighting_outcome: a sighting, in the terms in which every success is judged.

create or replace function payout.sighting_outcome(
    p_sighting payout.stripe_sightings, p_state payout.transfer_states
)
returns payout.outcome
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_populate_record(null::payout.outcome, to_jsonb(p_sighting)
        || jsonb_build_object(
            'payout_transfer_id', p_state.payout_transfer_id,
            'generation', p_state.generation,
            'attempt', p_state.attempt,
            'signal', 'looked_up',
            'object', 'transfer',
            'found', 1,
            'payout_ref', p_sighting.named_payout_ref,
            'detail', coalesce(
                'reconcile run ' || p_sighting.reconcile_run_id, 'events')));
end
$$;
comment on function payout.sighting_outcome(payout.stripe_sightings, payout.transfer_states) is
    'The outcome that a sighting is for a transfer as it stands.';
-- end frozen: procedures/reconcile/sighting_outcome.sql

-- frozen: procedures/reconcile/start_run.sql 7b103fb1d011
-- start_run: begin to compare with Stripe from where the last comparison ended.
--
-- Called by: begin_reconcile. Windows overlap by a day, so that a transfer whose
-- answer came late falls whole into one of them. Without a former run that counts
-- here everything since the first transfer is compared; without a transfer, all.
-- Safe at once from many places: one run goes on at a time, by its unique key.

create or replace function payout.start_run(p_worker text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_now timestamptz := payout.clock();
    v_from timestamptz := (
        select max(r.created_until) - interval '1 day'
        from payout.runs_of_this_place() as r
        where r.finished_at is not null);
begin
    update payout.reconcile_runs as r
    set abandoned_at = v_now
    where r.finished_at is null
        and r.abandoned_at is null
        and r.reconcile_run_id not in (
            select h.reconcile_run_id from payout.runs_of_this_place() as h);

    v_from := coalesce(
        v_from,
        (select t.created_at - interval '1 day'
            from payout.payout_transfers as t
            order by t.payout_transfer_id
            limit 1),
        to_timestamp(0));
    -- Though a clock was set back.
    v_from := least(v_from, v_now - interval '1 day');

    insert into payout.reconcile_runs (
        worker, started_at, created_from, created_until, transfers_expected)
    values (
        p_worker, v_now, v_from, v_now, (
            select count(*)
            from payout.ledger_entries as e
            where e.kind = 'paid' and e.created_at >= v_from and e.created_at < v_now))
    on conflict do nothing;
end
$$;
comment on function payout.start_run(text) is
    'Begins a reconcile run, unless one goes on; gives up one that no longer counts here.';
-- end frozen: procedures/reconcile/start_run.sql

-- frozen: procedures/reconcile/take_events.sql b3149bb39531
-- take_events: the transfers that a page of events is about, as Stripe showed them then.

create or replace function payout.take_events(p_events jsonb)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_seen payout.stripe_sightings[];
    v_new integer;
begin
    -- Of several events about one transfer the one that shows it furthest reversed.
    v_seen := array(
        select distinct on (g.stripe_transfer_id) g
        from payout.read_sightings(null, (
            select coalesce(jsonb_agg(e #> '{data,object}'), '[]')
            from jsonb_array_elements(p_events) as e)) as g
        order by g.stripe_transfer_id, g.amount_reversed_minor desc);
    v_new := payout.note_reversals(v_seen);
    perform payout.take_sightings(v_seen, null);
    return v_new;
end
$$;
comment on function payout.take_events(jsonb) is
    'Takes what events show; returns how many transfers were reversed further than was known.';
-- end frozen: procedures/reconcile/take_events.sql

-- frozen: procedures/reconcile/take_sightings.sql f6174c77c819
-- take_sightings: transfers that Stripe shows, in its list or in an event, against the books.
--
-- What differs, or is unknown here, is a finding. What is ours and not paid here
-- is kept and judged.

create or replace function payout.take_sightings(
    p_seen payout.stripe_sightings[], p_reconcile_run_id bigint
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    return payout.record_findings(
            array(select f from payout.compare_sightings(p_seen) as f), p_reconcile_run_id)
        + payout.adopt_sightings(array(select k from payout.keep_sightings(p_seen) as k));
end
$$;
comment on function payout.take_sightings(payout.stripe_sightings[], bigint) is
    'Compares and adopts; returns how many findings and alarms there are.';
-- end frozen: procedures/reconcile/take_sightings.sql

-- frozen: procedures/reconcile/transfer_facts.sql ee9f50f2844b
-- transfer_facts: a transfer of ours, in the words in which a sighting says the same.

create or replace function payout.transfer_facts(
    p_transfer payout.payout_transfers, p_is_livemode boolean
)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'payout_ref', p_transfer.payout_ref,
        'settlement_id', p_transfer.settlement_id,
        'amount_minor', p_transfer.amount_minor,
        'currency', p_transfer.currency,
        'destination', p_transfer.destination,
        'is_livemode', p_is_livemode);
end
$$;
comment on function payout.transfer_facts(payout.payout_transfers, boolean) is
    'What these books say of a transfer, to be laid beside what Stripe says.';
-- end frozen: procedures/reconcile/transfer_facts.sql

-- frozen: sql/error_codes.sql 641e48c73c7b
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
    ('SP310', 'no such settlement, transfer, job, hold or discrepancy', 'correct the call'),
    ('SP311', 'a claim of more or fewer transfers than one claim hands out', 'correct the call'),
    ('SP312', 'the reported outcomes are malformed', 'correct the call'),
    ('SP313', 'a hold, release or resolution without what it needs', 'correct the call'),
    ('SP314', 'an approval without what it needs', 'correct the call'),
    ('SP330', 'no such seal, or no head of seals', 'correct the call'),
    ('SP320', 'the gate or the Stripe account without what its change needs', 'correct the call'),
    ('SP340', 'a page of Stripe''s list that is not the next one', 'correct the call'),
    ('SP341', 'a page or list of Stripe''s that is malformed or not expected', 'correct the call'),
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

-- frozen: sql/views/discrepancies.sql f2699c5d2570
-- discrepancies: where Stripe and the books disagree now, and what a person does about it.

create or replace view payout_api.discrepancies as
select
    d.discrepancy_id,
    d.kind,
    coalesce(t.settlement_id, d.theirs ->> 'named_settlement') as settlement_id,
    d.payout_transfer_id,
    d.stripe_transfer_id,
    d.ours,
    d.theirs,
    d.found_at as since,
    d.found_by_run_id,
    d.last_found_by_run_id,
    concat_ws(' ',
        d.advice,
        'Then:',
        'select payout_api.release_hold(' || h.hold_id || ', ''…'');',
        format('select payout_api.resolve_discrepancy(%s, ''…'');', d.discrepancy_id)
    ) as what_to_do
from payout.discrepancies as d
left join payout.payout_transfers as t on t.payout_transfer_id = d.payout_transfer_id
left join payout.holds as h on h.scope = 'settlement'
    and h.subject = t.settlement_id
    and h.released_at is null
where d.resolved_at is null;
comment on view payout_api.discrepancies is
    'One row for each open discrepancy: what these books say (ours) and Stripe (theirs), since '
    'when, by which reconcile run, and the next step with the calls that end it.';
grant select on payout_api.discrepancies to payout_operator, payout_auditor;
-- end frozen: sql/views/discrepancies.sql

-- frozen: sql/views/reconcile_progress.sql 010e744cb9dd
-- reconcile_progress: how far each comparison with Stripe has come, the newest first.

create or replace view payout_api.reconcile_progress as
select
    r.reconcile_run_id,
    case
        when r.finished_at is not null then 'finished'
        when r.abandoned_at is not null then 'given up'
        else 'going on'
    end as progress,
    r.worker,
    r.started_at,
    coalesce(r.finished_at, r.abandoned_at) as ended_at,
    r.created_from,
    r.created_until,
    p.pages,
    p.last_page_at,
    r.transfers_seen,
    r.transfers_expected,
    r.discrepancies_found
from payout.reconcile_runs as r
left join lateral (
    select count(*) as pages, max(p.received_at) as last_page_at
    from payout.reconcile_pages as p
    where p.reconcile_run_id = r.reconcile_run_id
) as p on true
order by r.reconcile_run_id desc;
comment on view payout_api.reconcile_progress is
    'One row for each run: what it compares, the pages and transfers seen so far, how many these '
    'books expected, and how many findings it has.';
grant select on payout_api.reconcile_progress to payout_operator, payout_auditor;
-- end frozen: sql/views/reconcile_progress.sql

reset role;
