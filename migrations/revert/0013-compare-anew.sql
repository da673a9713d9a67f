-- Revert 0013-compare-anew.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

alter table payout.epochs drop column is_first_claim;
drop index payout.discrepancies_explained_idx;
drop index payout.discrepancies_kind_stripe_transfer_id_finding_key;
-- Of several that say the same of one transfer, only the newest is found again.
update payout.discrepancies as d
set is_finding = false
where d.is_finding and d.resolved_by_run_id is null and exists (
    select from payout.discrepancies as n
    where n.is_finding
        and n.resolved_by_run_id is null
        and n.kind = d.kind
        and n.stripe_transfer_id = d.stripe_transfer_id
        and n.discrepancy_id > d.discrepancy_id
);
create unique index discrepancies_kind_stripe_transfer_id_finding_key
    on payout.discrepancies (kind, stripe_transfer_id)
    where is_finding and resolved_by_run_id is null;

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

-- frozen: sql/views/unpaid.sql 8dc52a4a53d2
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
        -- What is parked is looked for at Stripe; these two cannot end without a person.
        when s.reason in ('stripe_may_execute_later', 'absence_awaits_approval') then 'operator'
        when s.next_lookup_at is not null then 'engine'
        else st.whose_turn
    end as whose_turn,
    coalesce(s.next_attempt_at, s.next_lookup_at) as next_attempt_at,
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

-- frozen: procedures/execution/was_seen_at_stripe.sql c8bd3f130d06
-- was_seen_at_stripe: whether anybody ever saw a transfer at Stripe, under whatever key.

create or replace function payout.was_seen_at_stripe(p_payout_transfer_id bigint)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_payout_transfer_id
            and o.stripe_transfer_id is not null
    )
$$;
comment on function payout.was_seen_at_stripe(bigint) is
    'True once an observation of the transfer, accepted or not, names a transfer at Stripe.';
-- end frozen: procedures/execution/was_seen_at_stripe.sql

-- frozen: procedures/lookups/add_lookup_page.sql 784487dcfd4f
-- add_lookup_page: keep what a page of Stripe's list says of the transfer that is looked up.
--
-- Called by: report_lookup_page, which holds the lock of the transfer.
-- A match says that it is ours by its metadata or by its group.
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
    v_payout_ref text := (
        select t.payout_ref from payout.payout_transfers as t
        where t.payout_transfer_id = p_lookup.payout_transfer_id);
begin
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
            jsonb_agg(payout.match_facts(t)) filter (
                where v_payout_ref in (t #>> '{metadata,payout_ref}', t ->> 'transfer_group')),
            '[]'),
        payout.clock()
    from (select) as always
    left join jsonb_array_elements(p_transfers) as t on true;
end
$$;
comment on function payout.add_lookup_page(
    payout.transfer_lookups, integer, text, jsonb, boolean
) is 'Stores a page with its matches, unless it is there; refuses one that is not the next.';
-- end frozen: procedures/lookups/add_lookup_page.sql

-- frozen: procedures/lookups/finish_lookup.sql 62b327289ff8
-- finish_lookup: judge a complete look-up, once, and plan the next one if it settled nothing.
--
-- Called by: report_lookup_page, which holds the lock of the transfer.
-- The longer it is parked, the rarer it is looked for, but at once when it counts.

create or replace function payout.finish_lookup(
    p_lookup payout.transfer_lookups, p_state payout.transfer_states
)
returns table (verdict text, state text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_outcome payout.outcome := payout.lookup_outcome(p_lookup, p_state);
    v_counts_from timestamptz;
begin
    return query
    select o.verdict, coalesce(o.moved_to, p_state.state)::text
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.facts ->> 'lookup_id' = p_lookup.lookup_id::text;
    if found then
        return;
    end if;

    return query
    select r.verdict, r.state from payout.record_outcomes(array[v_outcome]) as r;

    v_counts_from := payout.absence_counts_from(p_state.payout_transfer_id);
    update payout.transfer_states as s
    set next_lookup_at = payout.clock() + greatest(
        e.scans_apart_for,
        case
            when p_lookup.begun_at < v_counts_from then
                least((payout.clock() - s.changed_at) / 4, v_counts_from - payout.clock())
            when v_counts_from is null or s.reason = 'absence_awaits_approval' then
                (payout.clock() - s.changed_at) / 4
        end)
    from payout.engine_settings as e
    where s.payout_transfer_id = p_state.payout_transfer_id
        and s.state = 'parked';

    if v_outcome.found = 1 then
        update payout.discrepancies as d
        set resolved_at = payout.clock(),
            resolved_by = 'engine',
            resolution = format('Stripe has it as %s, as it was asked for.',
                v_outcome.stripe_transfer_id)
        from payout.transfer_states as s
        where d.payout_transfer_id = p_state.payout_transfer_id
            and d.resolved_at is null
            and s.payout_transfer_id = p_state.payout_transfer_id
            and s.stripe_transfer_id = v_outcome.stripe_transfer_id;
    end if;
end
$$;
comment on function payout.finish_lookup(payout.transfer_lookups, payout.transfer_states) is
    'Verdict and state after all pages of a look-up: paid, known, an alarm, absent or given up.';
-- end frozen: procedures/lookups/finish_lookup.sql

-- frozen: procedures/lookups/lookup_outcome.sql e22e0c2e1a54
-- lookup_outcome: what a look-up found, as an outcome to be judged.
--
-- A transfer that several queries or pages list is one.

create or replace function payout.lookup_outcome(
    p_lookup payout.transfer_lookups, p_state payout.transfer_states
)
returns payout.outcome
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_matches jsonb[] := array(
        select distinct on (m ->> 'stripe_transfer_id') m
        from payout.transfer_lookup_pages as p
        cross join jsonb_array_elements(p.matches) as m
        where p.lookup_id = p_lookup.lookup_id
        order by m ->> 'stripe_transfer_id', p.received_at desc);
    v_outcome payout.outcome;
begin
    if cardinality(v_matches) = 1 then
        v_outcome := jsonb_populate_record(v_outcome, v_matches[1]);
    elsif cardinality(v_matches) > 1 then
        v_outcome.detail := (
            select string_agg(m ->> 'stripe_transfer_id', ', ') from unnest(v_matches) as m);
    else
        v_outcome.first_absence_id := payout.first_absence(p_lookup);
    end if;
    v_outcome.payout_transfer_id := p_state.payout_transfer_id;
    v_outcome.generation := p_state.generation;
    v_outcome.attempt := p_state.attempt;
    v_outcome.signal := 'looked_up';
    v_outcome.lookup_id := p_lookup.lookup_id;
    v_outcome.found := cardinality(v_matches);
    return v_outcome;
end
$$;
comment on function payout.lookup_outcome(payout.transfer_lookups, payout.transfer_states) is
    'The outcome of a complete look-up: how many transfers were found, and which, if it is one.';
-- end frozen: procedures/lookups/lookup_outcome.sql

-- frozen: procedures/lookups/lookup_queries.sql 868f4dfb8863
-- lookup_queries: how a transfer is found in Stripe's list, if it is there at all.
--
-- By its transfer_group, which Stripe sets itself for a source_transaction, and by
-- its destination, since an hour before it can have been sent: the clocks here and
-- there may differ. What was never sent from here was sent by a database that forgot.

create or replace function payout.lookup_queries(p_transfer payout.payout_transfers)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_sent_since timestamptz := (
        select least(p_transfer.created_at, min(a.claimed_at)) - interval '1 hour'
        from payout.transfer_attempts as a
        where a.payout_transfer_id = p_transfer.payout_transfer_id
        having count(*) > 0);
begin
    return case
        when p_transfer.source_transaction is null
            then jsonb_build_array(jsonb_build_object('transfer_group', p_transfer.payout_ref))
        else '[]'
    end || jsonb_strip_nulls(jsonb_build_object(
        'destination', p_transfer.destination,
        'created', case when v_sent_since is not null then
            jsonb_build_object('gte', floor(extract(epoch from v_sent_since))::bigint)
        end));
end
$$;
comment on function payout.lookup_queries(payout.payout_transfers) is
    'The parameters of GET /v1/transfers, one object a query, that together list whatever Stripe '
    'has of the transfer.';
-- end frozen: procedures/lookups/lookup_queries.sql

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

-- dropped: procedures/reconcile/is_explained.sql
drop function if exists payout.is_explained(payout.finding);
-- end dropped: procedures/reconcile/is_explained.sql

-- dropped: procedures/epoch/note_first_claim.sql
drop function if exists payout.note_first_claim(bigint[]);
-- end dropped: procedures/epoch/note_first_claim.sql

reset role;
