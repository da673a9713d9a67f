-- Revert 0014-run-and-query.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: procedures/api/operator/open_gate.sql 7fd77ed02fdf
-- open_gate: adopt the database in the place where it is now; transfers are handed out again.
--
-- Called by: operator, after a restore, a promotion or a clone (docs/restore.md).
-- Safe to repeat: an open gate stays open, and nothing is recorded.
-- Locks: the row of settings, so that two people record one epoch.
-- A run knows nothing of what the old database sent after the run was begun: hence
-- it must have been begun within the last hour, however long it was under way.
-- Raises: SP320 no reason; SP410 nothing was reconciled in this place, or not lately.

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
        and r.created_until > payout.clock() - interval '1 hour'
    order by r.reconcile_run_id desc
    limit 1;
    if v_run_id is null and p_without_reconcile is not true then
        raise exception 'the gate stays closed: nothing was reconciled in this place lately'
            using
                errcode = 'SP410',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, then open the gate within an '
                    'hour of its start; or pass p_without_reconcile => true if nothing can have '
                    'been forgotten.';
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
    'Adopts the database where it is now, with a reason, once a reconcile run that was begun '
    'within the last hour was finished here; p_without_reconcile does without one and is '
    'recorded. Safe to repeat.';
revoke execute on function payout_api.open_gate(text, boolean) from public;
grant execute on function payout_api.open_gate(text, boolean) to payout_operator;
-- end frozen: procedures/api/operator/open_gate.sql

-- dropped: procedures/api/worker/report_lookup_page.sql
drop function if exists payout_api.report_lookup_page(bigint, integer, jsonb, text, jsonb, boolean);
-- end dropped: procedures/api/worker/report_lookup_page.sql

-- frozen: procedures/api/worker/report_lookup_page.sql 53de56d54ad3
-- report_lookup_page: take one page of Stripe's list; after the last one, judge the look-up.
--
-- Called by: worker. The pages of a query come in order, the queries in any.
-- Safe to repeat: a page that was taken before changes nothing, nor does the last one.
-- Locks: the transfer's progress row.
-- Raises: SP340 unknown look-up or query, a page out of order or malformed.

create or replace function payout_api.report_lookup_page(
    p_lookup_id bigint,
    p_query_number integer,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns table (is_complete boolean, verdict text, state text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lookup payout.transfer_lookups;
    v_state payout.transfer_states;
begin
    select * into v_lookup
    from payout.transfer_lookups as l
    where l.lookup_id = p_lookup_id;
    if not found then
        perform payout.refuse_lookup_page(p_lookup_id, 'there is no such look-up');
    end if;
    select * into strict v_state
    from payout.transfer_states as s
    where s.payout_transfer_id = v_lookup.payout_transfer_id
    for update;

    perform payout.add_lookup_page(
        v_lookup, p_query_number, p_starting_after, p_transfers, p_has_more);

    if (
        select count(*)
        from payout.transfer_lookup_pages as p
        where p.lookup_id = p_lookup_id and not p.has_more
    ) < jsonb_array_length(v_lookup.queries) then
        return query select false, null::text, v_state.state::text;
    else
        return query
        select true, j.verdict, j.state from payout.finish_lookup(v_lookup, v_state) as j;
    end if;
end
$$;
comment on function payout_api.report_lookup_page(bigint, integer, text, jsonb, boolean) is
    'Takes a page of a query of a look-up, as Stripe sent it; once all are there, says what was '
    'found (ok, already, stale or alarm) and the state of the transfer.';
revoke execute on function payout_api.report_lookup_page(bigint, integer, text, jsonb, boolean)
    from public;
grant execute on function payout_api.report_lookup_page(bigint, integer, text, jsonb, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/report_lookup_page.sql

-- dropped: procedures/lookups/add_lookup_page.sql
drop function if exists payout.add_lookup_page(payout.transfer_lookups, integer, jsonb, text, jsonb, boolean);
-- end dropped: procedures/lookups/add_lookup_page.sql

-- frozen: procedures/lookups/add_lookup_page.sql 686d0d37c7ce
-- add_lookup_page: keep what a page of Stripe's list says of the transfer that is looked up.
--
-- Called by: report_lookup_page, which holds the lock of the transfer.
-- A match says that it is ours by its metadata or by its group, which nobody can edit.
-- Of a charge Stripe sets the group: there one without metadata of ours, but of the
-- same charge, account and amount, may be it too (lookup_outcome).
-- Raises: SP340 no such query, a page out of order or malformed.

create or replace function payout.add_lookup_page(
    p_lookup payout.transfer_lookups,
    p_query_number integer,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_former payout.transfer_lookup_pages;
    v_problem text;
    v_transfer payout.payout_transfers;
begin
    select * into strict v_transfer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_lookup.payout_transfer_id;

    if coalesce(p_query_number, -1)
        not between 0 and jsonb_array_length(p_lookup.queries) - 1 then
        perform payout.refuse_lookup_page(p_lookup.lookup_id,
            format('it has no query %s', coalesce(p_query_number::text, 'null')));
    elsif jsonb_typeof(p_transfers) = 'array' and exists (
        select from payout.transfer_lookup_pages as p
        where p.lookup_id = p_lookup.lookup_id and p.query_number = p_query_number
            and p.starting_after is not distinct from p_starting_after
    ) then
        return;
    end if;

    select * into v_former
    from payout.transfer_lookup_pages as p
    where p.lookup_id = p_lookup.lookup_id and p.query_number = p_query_number
    order by p.page_number desc
    limit 1;
    v_problem := payout.page_problem(
        v_former.last_id, v_former.has_more, p_starting_after, p_transfers, p_has_more);
    if v_problem is not null then
        perform payout.refuse_lookup_page(p_lookup.lookup_id, v_problem);
    end if;

    insert into payout.transfer_lookup_pages (
        lookup_id, query_number, page_number, starting_after, last_id, has_more, transfers_seen,
        matches, received_at)
    select p_lookup.lookup_id, p_query_number, coalesce(v_former.page_number, 0) + 1,
        p_starting_after, p_transfers -> -1 ->> 'id', p_has_more, jsonb_array_length(p_transfers),
        coalesce(
            jsonb_agg(payout.match_facts(t) || jsonb_build_object('is_by_charge', m.is_by_charge))
                filter (where m.is_ours or m.is_by_charge),
            '[]'),
        payout.clock()
    from (select) as always
    left join jsonb_array_elements(p_transfers) as t on true
    cross join lateral (values (
        v_transfer.payout_ref in (t #>> '{metadata,payout_ref}', t ->> 'transfer_group'),
        t #>> '{metadata,payout_ref}' is null
            and t ->> 'source_transaction' = v_transfer.source_transaction
            and t ->> 'destination' = v_transfer.destination
            and t ->> 'amount' = v_transfer.amount_minor::text
    )) as m (is_ours, is_by_charge);
end
$$;
comment on function payout.add_lookup_page(
    payout.transfer_lookups, integer, text, jsonb, boolean
) is 'Stores a page with its matches, unless it is there; refuses one that is not the next.';
-- end frozen: procedures/lookups/add_lookup_page.sql

-- frozen: procedures/api/worker/begin_reconcile.sql 3bd476f52439
-- begin_reconcile: begin to compare all of Stripe's transfers with the books, or go on with it.
--
-- Called by: worker. It only looks, so neither a hold nor the gate is asked.
-- Safe to repeat, and at once from many places: there is one run, and pages that
-- were taken stay taken.
-- Locks: payout.epochs, so that a run for an account is begun before it is changed.
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
    lock table payout.epochs in access share mode;
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

-- dropped: procedures/api/worker/report_reconcile_page.sql
drop function if exists payout_api.report_reconcile_page(bigint, jsonb, text, jsonb, boolean);
-- end dropped: procedures/api/worker/report_reconcile_page.sql

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

-- frozen: procedures/reconcile/runs_of_this_place.sql c2b86f5c76dd
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
        where not e.is_first_claim
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

-- dropped: procedures/reconcile/refuse_other_query.sql
drop function if exists payout.refuse_other_query(text, jsonb, jsonb);
-- end dropped: procedures/reconcile/refuse_other_query.sql

-- dropped: procedures/reconcile/reconcile_query.sql
drop function if exists payout.reconcile_query(payout.reconcile_runs);
-- end dropped: procedures/reconcile/reconcile_query.sql

alter table payout.reconcile_runs drop column epoch_id;

reset role;
