-- 0008-lookups: look-ups at Stripe for what is parked, and rule Q: proof that a transfer is not there
-- depends: 0007-gate

-- Constraints widen or belong to small tables; observations are validated once.
-- squawk-ignore-file ban-drop-constraint, constraint-missing-not-valid, adding-foreign-key-constraint

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

alter type payout.outcome
    add attribute lookup_id bigint,
    add attribute found integer,
    add attribute first_absence_id bigint;

create table payout.transfer_lookups (
    lookup_id bigint not null generated always as identity,
    payout_transfer_id bigint not null,
    worker text not null,
    queries jsonb not null,
    begun_at timestamptz not null,
    constraint transfer_lookups_pkey primary key (lookup_id),
    constraint transfer_lookups_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id)
);
comment on table payout.transfer_lookups is
    'Every look at Stripe''s list of transfers for one whose outcome is unknown. Insert-only; what '
    'came of it is an observation.';
comment on column payout.transfer_lookups.queries is
    'The parameters of GET /v1/transfers, one object a query; together they list all there can be.';
comment on column payout.transfer_lookups.begun_at is 'Before anything was asked of Stripe.';
create index transfer_lookups_payout_transfer_id_idx
    on payout.transfer_lookups (payout_transfer_id);

create table payout.transfer_lookup_pages (
    lookup_id bigint not null,
    query_number integer not null,
    page_number integer not null,
    starting_after text,
    last_id text,
    has_more boolean not null,
    transfers_seen integer not null,
    matches jsonb not null,
    received_at timestamptz not null,
    constraint transfer_lookup_pages_pkey primary key (lookup_id, query_number, page_number),
    constraint transfer_lookup_pages_lookup_id_fkey
        foreign key (lookup_id) references payout.transfer_lookups (lookup_id),
    constraint counts_are_not_negative
        check (query_number >= 0 and page_number >= 1 and transfers_seen >= 0)
);
comment on table payout.transfer_lookup_pages is
    'The pages of Stripe''s list that a look-up read, and which of their transfers match. '
    'Insert-only.';
comment on column payout.transfer_lookup_pages.query_number is
    'Which of transfer_lookups.queries, from 0.';
comment on column payout.transfer_lookup_pages.starting_after is
    'The id that the page was asked for after; null: the first page.';
comment on column payout.transfer_lookup_pages.last_id is
    'The last id on the page, after which the next one starts; null: an empty page.';
comment on column payout.transfer_lookup_pages.matches is
    'The transfers with our payout_ref in metadata or transfer_group, in the terms of '
    'payout.outcome.';

grant select on payout.transfer_lookups, payout.transfer_lookup_pages
    to payout_operator, payout_auditor;
create trigger _500_refuse_change before update or delete on payout.transfer_lookups
    for each row execute function payout.tg__refuse_change();
alter table payout.transfer_lookups enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.transfer_lookups
    for each statement execute function payout.tg__refuse_change();
alter table payout.transfer_lookups enable always trigger _500_refuse_truncate;
create trigger _500_refuse_change before update or delete on payout.transfer_lookup_pages
    for each row execute function payout.tg__refuse_change();
alter table payout.transfer_lookup_pages enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.transfer_lookup_pages
    for each statement execute function payout.tg__refuse_change();
alter table payout.transfer_lookup_pages enable always trigger _500_refuse_truncate;

alter table payout.transfer_states add column next_lookup_at timestamptz;
comment on column payout.transfer_states.next_lookup_at is
    'When a parked transfer is looked for at Stripe next; null: it is not parked.';
-- squawk-ignore require-concurrent-index-creation
create index transfer_states_next_lookup_at_idx
    on payout.transfer_states (next_lookup_at) where next_lookup_at is not null;
update payout.transfer_states set next_lookup_at = now() where state = 'parked';

alter table payout.transfer_observations
    drop constraint signal_is_known,
    add constraint signal_is_known check (signal in (
        'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired', 'key_expired',
        'looked_up')) not valid;
alter table payout.transfer_observations validate constraint signal_is_known;

alter table payout.key_generations
    add column second_evidence_observation_id bigint
        constraint key_generations_second_evidence_observation_id_fkey
            references payout.transfer_observations (observation_id)
        constraint evidence_comes_in_order check (
            second_evidence_observation_id > evidence_observation_id);
comment on column payout.key_generations.evidence_observation_id is
    'The accepted decline, saved under the former key, that closed the former generation; or the '
    'first of two scans of Stripe''s list that found nothing.';
comment on column payout.key_generations.second_evidence_observation_id is
    'The second scan; null where a decline was the evidence.';

alter table payout.engine_settings
    add column indeterminate_for interval not null default '24 hours'
        constraint stripe_settles_within_a_day check (indeterminate_for >= '24 hours'),
    add column scans_apart_for interval not null default '60 minutes'
        constraint scans_are_an_hour_apart check (scans_apart_for >= '60 minutes'),
    add column absence_limit_minor bigint not null default 100000
        constraint absence_limit_is_an_amount check (absence_limit_minor >= 0);
comment on column payout.engine_settings.indeterminate_for is
    'How long after an attempt without a definite answer Stripe may still carry it out.';
comment on column payout.engine_settings.scans_apart_for is
    'How far apart two scans of Stripe''s list must be that prove a transfer absent.';
comment on column payout.engine_settings.absence_limit_minor is
    'Transfers above this amount, in minor units of any currency, get a new key after such a proof '
    'only when a person approves.';

alter table payout.stripe_error_rules
    drop constraint signal_is_known,
    add constraint signal_is_known check (signal in (
        'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired', 'key_expired',
        'looked_up')),
    drop constraint reaction_is_known,
    add constraint reaction_is_known check (reaction in (
        'retry', 'decline', 'decline_until_funded', 'refuse', 'unknown', 'park', 'pause', 'absent'));
comment on column payout.stripe_error_rules.reaction is
    'retry: surely not executed, same key; decline: saved under the key, money back to the payee; '
    'decline_until_funded: the same, and a new key later by itself; refuse: not saved, a decline '
    'only if nothing else was ever sent under the key; unknown: same key, sticky; park: a person, '
    'or a look at Stripe''s list; pause: hold the whole engine, costs no try; absent: proved by rule '
    'Q, money back to the payee and a new key.';
insert into payout.stripe_error_rules (
    error_rule_id, signal, reaction, is_alarm, reason, advice)
values
    (60, 'looked_up', 'park', true, 'absence_awaits_approval',
        'Stripe''s list does not have it, twice. Look there too, then payout_api.approve_absence(id, reason): a new key follows.'),
    (61, 'looked_up', 'absent', false, 'absent_at_stripe',
        'Stripe''s list did not have it, twice, long after the last send. A new key is opened by itself.');
update payout.stripe_error_rules
set advice = case error_rule_id
    when 50 then 'Stripe forgets keys after 24 hours. The engine looks for it in Stripe''s list and goes on by what it finds.'
    when 150 then 'This key was sent before with another request. The engine looks for it in Stripe''s list; find out why.'
    else 'Stripe failed under this key and may still have paid. The engine looks for it in Stripe''s list.'
end
where error_rule_id in (50, 150, 210, 211);

-- frozen: procedures/guards/progress_fits.sql bc740c0ec319
-- progress_fits: the rules of a row of transfer_states.
--
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.progress_fits(p_state payout.transfer_states)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text := case
        when p_state.generation < 1 then 'generation_counts_from_one'
        when p_state.attempt < 0 then 'attempt_counts_from_zero'
        when p_state.tries < 0 then 'tries_count_from_zero'
        when p_state.state = 'cancelled' and p_state.attempt <> 0
            then 'cancelled_was_never_attempted'
        when (p_state.state = 'in_flight') <> (p_state.lease_until is not null)
            then 'only_in_flight_has_a_lease'
        when p_state.state = 'in_flight' and p_state.first_sent_at is null
            then 'in_flight_has_been_sent'
        when (p_state.state = 'paid') <> (p_state.stripe_transfer_id is not null)
            then 'paid_names_its_transfer'
        when p_state.state in ('scheduled', 'retry_wait', 'unknown')
            and p_state.next_attempt_at is null then 'waiting_names_its_next_attempt'
        when p_state.state in ('in_flight', 'parked', 'paid', 'cancelled')
            and p_state.next_attempt_at is not null then 'resting_has_no_next_attempt'
        when p_state.state in ('parked', 'failed') and p_state.reason is null
            then 'parked_and_failed_say_why'
        when p_state.state <> 'parked' and p_state.next_lookup_at is not null
            then 'only_parked_is_looked_up'
    end;
begin
    return v_broken is null or payout.refuse_row('transfer_states', v_broken);
end
$$;
comment on function payout.progress_fits(payout.transfer_states) is
    'Check: counters, lease, next steps, Stripe''s id and reason are those that the state has.';
-- end frozen: procedures/guards/progress_fits.sql

-- frozen: procedures/guards/tg_transfer_states__plan_lookup.sql 3aa8c1d70d55
-- tg_transfer_states__plan_lookup: whatever is parked is looked up at Stripe at once.
--
-- One place for all who park: a report, an expired lease or key, an alarm. While
-- it stays parked the time is moved, or taken away, by who judges the look-up.

create or replace function payout.tg_transfer_states__plan_lookup()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    new.next_lookup_at := case new.state when 'parked' then payout.clock() end;
    return new;
end
$$;
comment on function payout.tg_transfer_states__plan_lookup() is
    'Trigger: sets next_lookup_at when a transfer becomes parked, clears it when it leaves.';

create or replace trigger _110_plan_lookup
    before update on payout.transfer_states
    for each row
    when ((old.state = 'parked') <> (new.state = 'parked'))
    execute function payout.tg_transfer_states__plan_lookup();
alter table payout.transfer_states enable always trigger _110_plan_lookup;
-- end frozen: procedures/guards/tg_transfer_states__plan_lookup.sql

-- frozen: procedures/ledger/newest_facts.sql 6ff529926f6b
-- newest_facts: of every transfer the facts that say how far it has come.
--
-- Its newest key and claim, the first claim under that key, the last observation
-- that moved it, and what was seen since the key was opened. Whole tables are
-- joined: looked up one by one, all transfers would take hours.

create or replace function payout.newest_facts()
returns table (
    payout_transfer_id bigint, due_at timestamptz, generation integer, moved_to text,
    moved_generation integer, moved_attempt integer, next_attempt_at timestamptz,
    stripe_transfer_id text, reason text, claim_generation integer, claim_attempt integer,
    lease_until timestamptz, first_sent_at timestamptz, tries integer, has_unknown_send boolean,
    is_stopped boolean, is_released boolean
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_nestloop = off
as $$
    with keys as (
        select t.payout_transfer_id, coalesce(s.pay_after, t.created_at) as due_at,
            coalesce(k.generation, 1) as generation, coalesce(k.opened_after, 0) as opened_after
        from payout.payout_transfers as t
        join payout.settlements as s on s.settlement_id = t.settlement_id
        left join (
            select k.payout_transfer_id, max(k.generation) as generation,
                max(greatest(k.evidence_observation_id, k.second_evidence_observation_id))
                    as opened_after
            from payout.key_generations as k
            group by k.payout_transfer_id
        ) as k on k.payout_transfer_id = t.payout_transfer_id
    ), moves as (
        select distinct on (o.payout_transfer_id) o.payout_transfer_id, o.observation_id,
            o.moved_to, o.generation, o.attempt, o.next_attempt_at, o.stripe_transfer_id, o.reason
        from payout.transfer_observations as o
        where o.moved_to is not null
        order by o.payout_transfer_id, o.observation_id desc
    ), claims as (
        select distinct on (a.payout_transfer_id) a.payout_transfer_id, a.generation, a.attempt,
            a.lease_until
        from payout.transfer_attempts as a
        order by a.payout_transfer_id, a.attempt desc
    ), first_claims as (
        select distinct on (a.payout_transfer_id, a.generation) a.payout_transfer_id,
            a.generation, a.claimed_at
        from payout.transfer_attempts as a
        order by a.payout_transfer_id, a.generation, a.attempt
    ), seen as (
        select o.payout_transfer_id, count(*) filter (where o.is_counted_try)::integer as tries,
            bool_or(o.has_unknown_send) as has_unknown_send,
            bool_or(o.verdict = 'alarm' and o.reason <> 'report_of_another_transfer'
                and o.observation_id > m.observation_id) as is_stopped
        from payout.transfer_observations as o
        join keys as k on k.payout_transfer_id = o.payout_transfer_id
        left join moves as m on m.payout_transfer_id = o.payout_transfer_id
        where o.observation_id > k.opened_after
        group by o.payout_transfer_id
    )
    select k.payout_transfer_id, k.due_at, k.generation, m.moved_to, m.generation, m.attempt,
        m.next_attempt_at, m.stripe_transfer_id, m.reason, a.generation, a.attempt, a.lease_until,
        f.claimed_at, coalesce(o.tries, 0), coalesce(o.has_unknown_send, false),
        coalesce(o.is_stopped, false), e.payout_transfer_id is not null
    from keys as k
    left join moves as m on m.payout_transfer_id = k.payout_transfer_id
    left join claims as a on a.payout_transfer_id = k.payout_transfer_id
    left join first_claims as f
        on f.payout_transfer_id = k.payout_transfer_id and f.generation = k.generation
    left join seen as o on o.payout_transfer_id = k.payout_transfer_id
    left join payout.ledger_entries as e on e.payout_transfer_id = k.payout_transfer_id
        and e.generation = k.generation and e.kind = 'release'
$$;
comment on function payout.newest_facts() is
    'One row for each transfer with the facts that fold_facts makes its progress of; tries and '
    'unknown sends are those of the newest key.';
-- end frozen: procedures/ledger/newest_facts.sql

-- frozen: procedures/api/operator/approve_absence.sql a4f8d371bbfa
-- approve_absence: let the engine take a large transfer for absent at Stripe, on its own proof.
--
-- Called by: operator, who has looked at Stripe too. It proves nothing by itself:
-- the engine looks once more, at once, and only then opens a new key.
-- Safe to repeat. Raises: SP310 no such transfer; SP314 it is not parked, or no reason.

create or replace function payout_api.approve_absence(p_payout_transfer_id bigint, p_reason text)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state payout.transfer_states;
    v_action_id bigint;
begin
    select * into v_state
    from payout.transfer_states as s
    where s.payout_transfer_id = p_payout_transfer_id
    for update;
    if not found then
        raise exception 'there is no transfer %', coalesce(p_payout_transfer_id::text, 'null')
            using
                errcode = 'SP310',
                hint = 'payout_api.unpaid lists the transfers that are not paid.';
    elsif v_state.state <> 'parked' or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot approve the absence of transfer %, which is %, for reason %',
            p_payout_transfer_id, v_state.state, coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP314',
                hint = 'Only what is parked is looked for at Stripe; give a reason.';
    end if;

    insert into payout.operator_actions (action, subject, reason, details)
    values ('approve_absence', p_payout_transfer_id::text, p_reason,
        jsonb_build_object('generation', v_state.generation))
    returning operator_action_id into v_action_id;
    update payout.transfer_states as s
    set next_lookup_at = payout.clock()
    where s.payout_transfer_id = p_payout_transfer_id;
    return v_action_id;
end
$$;
comment on function payout_api.approve_absence(bigint, text) is
    'Approves that a transfer above engine_settings.absence_limit_minor gets a new key once the '
    'engine has proved it absent at Stripe; returns the number of the noted action.';
revoke execute on function payout_api.approve_absence(bigint, text) from public;
grant execute on function payout_api.approve_absence(bigint, text) to payout_operator;
-- end frozen: procedures/api/operator/approve_absence.sql

-- frozen: procedures/api/worker/claim_lookups.sql 0bbdc254a3bd
-- claim_lookups: hand a worker the transfers that have to be looked up at Stripe.
--
-- Called by: worker. To look moves no money, so neither a hold nor the gate is asked.
-- Safe to repeat: a look-up that nobody finishes is handed out anew after ten minutes.
-- Locks: the transfers' progress rows, skipping those that somebody else has.
-- Raises: SP404 (refuse_other_stripe_account); SP311 limit out of range.

create or replace function payout_api.claim_lookups(
    p_worker text,
    p_limit integer default 20,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null
)
returns table (lookup_id bigint, payout_transfer_id bigint, queries jsonb)
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
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.next_lookup_at <= v_now
        order by s.next_lookup_at
        limit p_limit
        for update skip locked
    ), moved as (
        update payout.transfer_states as s
        set next_lookup_at = v_now + interval '10 minutes'
        from due as d
        where s.payout_transfer_id = d.payout_transfer_id
        returning s.payout_transfer_id
    ), begun as (
        insert into payout.transfer_lookups (payout_transfer_id, worker, queries, begun_at)
        select t.payout_transfer_id, p_worker, payout.lookup_queries(t), v_now
        from moved as m
        join payout.payout_transfers as t on t.payout_transfer_id = m.payout_transfer_id
        returning transfer_lookups.*
    )
    select b.lookup_id, b.payout_transfer_id, b.queries
    from begun as b
    order by b.lookup_id;
end
$$;
comment on function payout_api.claim_lookups(text, integer, text, boolean) is
    'Hands out up to p_limit due look-ups, each with the queries of Stripe''s list of transfers '
    'that answer it, numbered from 0. The Stripe account is that of the worker''s key.';
revoke execute on function payout_api.claim_lookups(text, integer, text, boolean) from public;
grant execute on function payout_api.claim_lookups(text, integer, text, boolean) to payout_worker;
-- end frozen: procedures/api/worker/claim_lookups.sql

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

-- frozen: procedures/api/worker/sweep.sql 5671d09e1a42
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
    -- First, while the sweep has locked no transfer yet.
    perform payout_api.seal();
    return query
    select
        payout.expire_leases(v_now, p_limit),
        payout.park_expired_keys(v_now, p_limit),
        payout.reopen_failed(v_now, p_limit),
        payout.ring_doorbells(v_now, p_limit);
end
$$;
comment on function payout_api.sweep(integer) is
    'Closes leases that ran out, parks what is too old to send, opens new keys where rule K '
    'allows, rings for what is due; up to p_limit of each. Returns how many. It also seals.';
revoke execute on function payout_api.sweep(integer) from public;
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
-- end frozen: procedures/api/worker/sweep.sql

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

-- frozen: procedures/execution/absence_counts_from.sql cc7a73281bc0
-- absence_counts_from: from when on a look at Stripe's list can prove that a transfer is not there.
--
-- Rule Q: once every attempt has drained, and a day after those that did not end
-- in a definite answer: what got lost on the way may have been a 500, which Stripe
-- can still carry out. Never for what Stripe may execute later, or once showed.

create or replace function payout.absence_counts_from(p_payout_transfer_id bigint)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(a.lease_until + e.attempt_drain_for
        + case when payout.is_definite(a) then interval '0' else e.indeterminate_for end)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    where a.payout_transfer_id = p_payout_transfer_id
        and not payout.was_seen_at_stripe(p_payout_transfer_id)
        and not exists (
            select from payout.transfer_observations as o
            join payout.stripe_error_rules as r on r.error_code = o.error_code
            where o.payout_transfer_id = p_payout_transfer_id
                and r.reason = 'stripe_may_execute_later'
        )
$$;
comment on function payout.absence_counts_from(bigint) is
    'When everything that was ever sent for a transfer is over; null: nobody can know, or it was '
    'never sent.';
-- end frozen: procedures/execution/absence_counts_from.sql

-- frozen: procedures/execution/is_definite.sql c23722f5eb1b
-- is_definite: whether an attempt ended in an answer after which nothing of it can come.

create or replace function payout.is_definite(p_attempt payout.transfer_attempts)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from payout.transfer_observations as o
        join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
        where o.payout_transfer_id = p_attempt.payout_transfer_id
            and o.generation = p_attempt.generation
            and o.attempt = p_attempt.attempt
            and o.verdict = 'ok'
            and r.reaction in ('retry', 'pause', 'refuse', 'decline', 'decline_until_funded')
    )
$$;
comment on function payout.is_definite(payout.transfer_attempts) is
    'True when what came back was accepted and says that the send had no effect, nor will have.';
-- end frozen: procedures/execution/is_definite.sql

-- frozen: procedures/execution/judge_absence.sql 4b8d206ec8b6
-- judge_absence: Stripe's whole list does not have a transfer that may have been sent.
--
-- Rule Q: proof needs two such scans, the second begun well after the first ended,
-- both after everything that was sent is over (first_absence). Large amounts need a
-- person as well, who may approve before or after the proof is there.

create or replace function payout.judge_absence(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    v_judgement.verdict := case p_state.state when 'parked' then 'ok' else 'stale' end;
    v_judgement.reason := 'absent_at_stripe';
    if p_state.state <> 'parked' or p_outcome.first_absence_id is null then
        return v_judgement;
    end if;

    if p_transfer.amount_minor <= p_settings.absence_limit_minor or exists (
        select from payout.operator_actions as a
        where a.action = 'approve_absence'
            and a.subject = p_state.payout_transfer_id::text
            and (a.details ->> 'generation')::integer = p_state.generation
    ) then
        v_judgement.to_state := 'failed';
        v_judgement.error_rule_id := 61;
        if p_state.generation < p_settings.max_generations then
            v_judgement.next_attempt_at := payout.clock();
        else
            v_judgement.reason := 'keys_used_up_absent_at_stripe';
            v_judgement.is_alarm := true;
        end if;
    elsif p_state.reason <> 'absence_awaits_approval' then
        v_judgement.to_state := 'parked';
        v_judgement.error_rule_id := 60;
        v_judgement.reason := 'absence_awaits_approval';
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_absence(
    payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is
    'Judges a look-up that found nothing: evidence only, or proof; then failed with a new key at '
    'once, or parked for approval.';
-- end frozen: procedures/execution/judge_absence.sql

-- frozen: procedures/execution/judge_lookup.sql 7b4104b85ff7
-- judge_lookup: a whole look at Stripe's list for one transfer is in.
--
-- One transfer found is judged as any success; several are an alarm. None is
-- evidence and settles nothing, unless rule Q makes it proof.

create or replace function payout.judge_lookup(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    if p_outcome.found = 1 then
        v_judgement := payout.judge_success(p_outcome, p_state, p_transfer, p_settings);
        if v_judgement.to_state = 'paid' then
            v_judgement.reason := 'found_at_stripe';
        end if;
    elsif p_outcome.found = 0 then
        return payout.judge_absence(p_outcome, p_state, p_transfer, p_settings);
    elsif exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.reason = 'several_transfers_at_stripe'
            and o.facts ->> 'detail' = p_outcome.detail
    ) then
        v_judgement.verdict := 'already';
    else
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'several_transfers_at_stripe';
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_lookup(
    payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is
    'Judges a look-up by how many transfers it found: paid or an alarm, as judge_absence says, or '
    'an alarm.';
-- end frozen: procedures/execution/judge_lookup.sql

-- frozen: procedures/execution/judge_outcome.sql d575e28d3f2a
-- judge_outcome: what one outcome means for its transfer, as both stand now.
--
-- A success is a fact whatever the attempt. Anything else counts only from the
-- newest attempt while it is in flight: the fence against zombies.

create or replace function payout.judge_outcome(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    -- Serials are handed out again after a promotion, keys are not.
    if p_outcome.idempotency_key <> p_transfer.payout_ref || ':' || p_outcome.generation then
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'report_of_another_transfer';
        v_judgement.is_alarm := true;
        return v_judgement;
    end if;

    if p_outcome.signal = 'looked_up' then
        return payout.judge_lookup(p_outcome, p_state, p_transfer, p_settings);
    elsif p_outcome.signal = 'response' and p_outcome.http_status between 200 and 299 then
        return payout.judge_success(p_outcome, p_state, p_transfer, p_settings);
    end if;

    if p_state.state = 'in_flight'
        and p_state.generation = p_outcome.generation
        and p_state.attempt = p_outcome.attempt then
        return payout.judge_failure(p_outcome, p_state, p_settings);
    end if;

    v_judgement.verdict := case
        when exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = p_outcome.payout_transfer_id
                and o.attempt = p_outcome.attempt
                and o.generation = p_outcome.generation
                and o.signal = p_outcome.signal
                and o.verdict = 'ok'
        ) then 'already'
        else 'stale'
    end;
    v_judgement.is_alarm := false;
    return v_judgement;
end
$$;
comment on function payout.judge_outcome(
    payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is 'Verdict, next state and reason for one reported outcome; changes nothing.';
-- end frozen: procedures/execution/judge_outcome.sql

-- frozen: procedures/execution/judge_success.sql 3b54a819cae0
-- judge_success: Stripe says that it made a transfer, in an answer or in its list.
--
-- It counts when it is the transfer that was asked for, under the key that is
-- current, whatever the attempt. Everything else is an alarm: stored, a person
-- is called, and nothing more is sent for this transfer meanwhile.

create or replace function payout.judge_success(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    v_judgement.reason := case
        when not payout.answers_request(p_outcome, p_transfer)
            or p_outcome.is_livemode <> p_settings.is_livemode then 'answer_contradicts_request'
        when p_state.stripe_transfer_id = p_outcome.stripe_transfer_id then 'known'
        when p_state.state = 'paid' then 'second_transfer_at_stripe'
        when p_outcome.generation <> p_state.generation
            or p_state.state in ('scheduled', 'failed', 'cancelled')
            then 'success_under_closed_key'
        when exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = p_outcome.stripe_transfer_id
        ) then 'stripe_id_of_another_transfer'
    end;

    if v_judgement.reason is null then
        v_judgement.verdict := 'ok';
        v_judgement.to_state := 'paid';
    elsif v_judgement.reason = 'known' or exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.attempt = p_outcome.attempt
            and o.generation = p_outcome.generation
            and o.verdict = 'alarm'
            and o.stripe_transfer_id is not distinct from p_outcome.stripe_transfer_id
    ) then
        v_judgement.verdict := 'already';
        v_judgement.reason := null;
    else
        v_judgement.verdict := 'alarm';
        v_judgement.is_alarm := true;
        if p_state.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown') then
            v_judgement.to_state := 'parked';
            v_judgement.leaves_unknown := true;
        end if;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_success(
    payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is
    'Judges a transfer that Stripe made: paid, already known, or an alarm that parks what is open.';
-- end frozen: procedures/execution/judge_success.sql

-- frozen: procedures/execution/other_attempts_drain_at.sql 6e161de602b0
-- other_attempts_drain_at: until when an earlier attempt under this key may still be on its way.
--
-- An attempt is open from its claim until its worker reports, or until long
-- after its lease when nobody ever does.

create or replace function payout.other_attempts_drain_at(p_state payout.transfer_states)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(a.lease_until + e.attempt_drain_for)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    where a.payout_transfer_id = p_state.payout_transfer_id
        and a.generation = p_state.generation
        and a.attempt <> p_state.attempt
        and not exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = a.payout_transfer_id
                and o.generation = a.generation
                and o.attempt = a.attempt
                and o.signal not in ('lease_expired', 'key_expired', 'looked_up')
        )
$$;
comment on function payout.other_attempts_drain_at(payout.transfer_states) is
    'When the last unreported other attempt of the current key counts as over; null: none is open.';
-- end frozen: procedures/execution/other_attempts_drain_at.sql

-- frozen: procedures/execution/proof_of_absence.sql 3139e6810c99
-- proof_of_absence: the two scans by which a transfer was proved absent under its present key.

create or replace function payout.proof_of_absence(p_state payout.transfer_states)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array[(o.facts ->> 'first_absence_id')::bigint, o.observation_id]
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal = 'looked_up'
        and o.moved_to = 'failed'
$$;
comment on function payout.proof_of_absence(payout.transfer_states) is
    'The observations of two scans that found nothing, on which it was given up; null: it was not.';
-- end frozen: procedures/execution/proof_of_absence.sql

-- frozen: procedures/execution/record_outcomes.sql a594c4e8da0a
-- record_outcomes: judge outcomes of different transfers and write what follows.
--
-- Called by: report_outcomes, finish_lookup; both hold the locks on the progress rows.

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
            stripe_request_id, facts, is_counted_try, has_unknown_send, next_attempt_at)
        select
            j.payout_transfer_id, j.generation, j.attempt, j.signal, j.verdict, j.to_state,
            j.reason, j.error_rule_id, j.http_status, j.error_type, j.error_code, j.is_replayed,
            j.stripe_transfer_id, j.stripe_request_id, payout.remaining_facts(j.outcome),
            coalesce(j.counts_as_try, false), coalesce(j.leaves_unknown, false), j.next_attempt_at
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
        from judged as j where s.payout_transfer_id = j.payout_transfer_id and j.is_alarm
            and j.former_state = 'failed' and j.reason <> 'report_of_another_transfer'
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

-- frozen: procedures/execution/reopen_failed.sql 3ff9dac5f601
-- reopen_failed: give failed transfers a new key when it is due, on the evidence that allows it.
--
-- Rule K: the former key ended in a decline that Stripe has saved, with no other
-- attempt open (judge_failure saw to it), or was proved absent (absence); and no
-- key of this transfer ever saw a success. The new key's row names the evidence.

create or replace function payout.reopen_failed(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_ids bigint[];
begin
    v_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.next_attempt_at <= p_now
            and s.state = 'failed'
            and s.generation < e.max_generations
            and (payout.saved_decline(s) is not null or payout.proof_of_absence(s) is not null)
            and not payout.was_seen_at_stripe(s.payout_transfer_id)
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

    insert into payout.key_generations (
        payout_transfer_id, generation, reason, evidence_observation_id,
        second_evidence_observation_id)
    select s.payout_transfer_id, s.generation + 1, s.reason,
        coalesce(payout.saved_decline(s), p.scans[1]), p.scans[2]
    from payout.transfer_states as s
    cross join lateral payout.proof_of_absence(s) as p (scans)
    where s.payout_transfer_id = any (v_ids);

    with reopened as (
        update payout.transfer_states as s
        set state = 'scheduled',
            generation = s.generation + 1,
            first_sent_at = null,
            tries = 0,
            has_unknown_send = false,
            reason = null,
            changed_at = p_now
        where s.payout_transfer_id = any (v_ids)
        returning s.payout_transfer_id, s.generation
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select r.payout_transfer_id, 'reserve', r.generation, 'payable:' || t.payee_id, 'in_flight',
        t.amount_minor, t.currency
    from reopened as r
    join payout.payout_transfers as t on t.payout_transfer_id = r.payout_transfer_id;

    return cardinality(v_ids);
end
$$;
comment on function payout.reopen_failed(timestamptz, integer) is
    'Opens the next key for up to p_limit failed transfers that are due and may have one; returns '
    'how many.';
-- end frozen: procedures/execution/reopen_failed.sql

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

-- frozen: procedures/lookups/first_absence.sql 05734ed978ca
-- first_absence: the earlier scan that, with this one, proves a transfer absent at Stripe.
--
-- Both found nothing, both began after everything that was sent is over, and
-- between them lies as much time as a list may lag.

create or replace function payout.first_absence(p_lookup payout.transfer_lookups)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select min(o.observation_id)
    from payout.transfer_observations as o
    join payout.transfer_lookups as l on l.lookup_id = (o.facts ->> 'lookup_id')::bigint
    cross join payout.engine_settings as e
    where o.payout_transfer_id = p_lookup.payout_transfer_id
        and o.signal = 'looked_up'
        and o.verdict = 'ok'
        and o.facts ->> 'found' = '0'
        and l.begun_at >= payout.absence_counts_from(p_lookup.payout_transfer_id)
        and o.observed_at <= p_lookup.begun_at - e.scans_apart_for
$$;
comment on function payout.first_absence(payout.transfer_lookups) is
    'The observation of the first of two scans by which a look-up that found nothing is proof; '
    'null: it is not.';
-- end frozen: procedures/lookups/first_absence.sql

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

-- frozen: procedures/lookups/match_facts.sql 29c09004fc6a
-- match_facts: what is judged of a transfer as Stripe lists it.

create or replace function payout.match_facts(p_transfer jsonb)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'object', p_transfer ->> 'object',
        'stripe_transfer_id', p_transfer ->> 'id',
        'amount_minor', case
            when p_transfer ->> 'amount' ~ '^[0-9]{1,18}$' then (p_transfer ->> 'amount')::bigint
        end,
        'currency', p_transfer ->> 'currency',
        'destination', p_transfer ->> 'destination',
        'is_livemode', case
            when jsonb_typeof(p_transfer -> 'livemode') = 'boolean' then p_transfer -> 'livemode'
        end,
        'payout_ref', p_transfer #>> '{metadata,payout_ref}',
        'amount_reversed_minor', case
            when p_transfer ->> 'amount_reversed' ~ '^[0-9]{1,18}$'
                then (p_transfer ->> 'amount_reversed')::bigint
        end);
end
$$;
comment on function payout.match_facts(jsonb) is
    'A transfer as Stripe lists it, in the terms of payout.outcome; null is what cannot be read.';
-- end frozen: procedures/lookups/match_facts.sql

-- frozen: procedures/lookups/page_problem.sql d47dbedecf91
-- page_problem: why a page of one of Stripe's lists is not the one that comes next.

create or replace function payout.page_problem(
    p_last_id text,
    p_had_more boolean,
    p_starting_after text,
    p_items jsonb,
    p_has_more boolean
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_items is null or jsonb_typeof(p_items) <> 'array' then
        return 'the page is not an array';
    elsif exists (
        select from jsonb_array_elements(p_items) as i
        where coalesce(jsonb_typeof(i -> 'id') <> 'string', true)
    ) then
        return 'the page holds something without an id';
    elsif p_has_more is null then
        return 'nobody says whether more pages follow';
    elsif p_has_more and jsonb_array_length(p_items) = 0 then
        return 'the page is empty, but more are said to follow';
    elsif not p_had_more then
        return 'there are no more pages';
    elsif p_starting_after is distinct from p_last_id then
        return format('the page after %s comes next, not that after %s',
            coalesce(p_last_id, 'nothing'), coalesce(p_starting_after, 'nothing'));
    end if;
    return null;
end
$$;
comment on function payout.page_problem(text, boolean, text, jsonb, boolean) is
    'Compares a page with the last id of the page before and whether more were to follow (both '
    'null: it is the first); null: it is the next one.';
-- end frozen: procedures/lookups/page_problem.sql

-- frozen: procedures/lookups/refuse_lookup_page.sql 09b59fae87b6
-- refuse_lookup_page: the one error for a page that a look-up does not take.
--
-- Raises: SP340, always.

create or replace function payout.refuse_lookup_page(p_lookup_id bigint, p_problem text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'look-up %: %', coalesce(p_lookup_id::text, 'null'), p_problem
        using
            errcode = 'SP340',
            hint = 'Read each query of claim_lookups from its start, page by page.',
            schema = 'payout',
            table = 'transfer_lookup_pages';
end
$$;
comment on function payout.refuse_lookup_page(bigint, text) is
    'Raises SP340 for a page that is not one the look-up waits for.';
-- end frozen: procedures/lookups/refuse_lookup_page.sql

-- frozen: procedures/seals/sealed_rows_v1.sql 2920cd90b972
-- sealed_rows_v1: the rows of a range of ids, each with its time and its digest.
--
-- A digest covers the columns named here and no others, as a JSON array of
-- numbers, texts, truths and seconds since 1970: no setting of a session shows
-- in it. Seals of version 1 stand on this text: to cover a later column append it
-- where it is not null, so that rows from before keep their digests; else write a v2.

create or replace function payout.sealed_rows_v1(
    p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer
)
returns table (row_id bigint, row_at timestamptz, row_sha256 bytea)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    if p_table_name = 'ledger_entries' then
        return query
        select e.ledger_entry_id, e.created_at, payout.row_sha256(jsonb_build_array(
            e.ledger_entry_id, e.payout_transfer_id, e.kind, e.generation, e.debit_account,
            e.credit_account, e.amount_minor, e.currency, e.stripe_reversal_id,
            extract(epoch from e.created_at)::text))
        from payout.ledger_entries as e
        where e.ledger_entry_id between p_first_id and p_last_id
        order by e.ledger_entry_id limit p_limit;
    elsif p_table_name = 'transfer_observations' then
        return query
        select o.observation_id, o.observed_at, payout.row_sha256(jsonb_build_array(
            o.observation_id, o.payout_transfer_id, o.generation, o.attempt, o.signal, o.verdict,
            o.moved_to, o.reason, o.error_rule_id, o.http_status, o.error_type, o.error_code,
            o.is_replayed, o.stripe_transfer_id, o.stripe_request_id, o.facts, o.is_counted_try,
            o.has_unknown_send, extract(epoch from o.next_attempt_at)::text,
            extract(epoch from o.observed_at)::text))
        from payout.transfer_observations as o
        where o.observation_id between p_first_id and p_last_id
        order by o.observation_id limit p_limit;
    elsif p_table_name = 'key_generations' then
        return query
        select k.key_generation_id, k.opened_at, payout.row_sha256(jsonb_build_array(
            k.key_generation_id, k.payout_transfer_id, k.generation, k.reason,
            k.evidence_observation_id, k.opened_by, extract(epoch from k.opened_at)::text)
            || case when k.second_evidence_observation_id is null then '[]'
                else jsonb_build_array(k.second_evidence_observation_id) end)
        from payout.key_generations as k
        where k.key_generation_id between p_first_id and p_last_id
        order by k.key_generation_id limit p_limit;
    elsif p_table_name = 'payout_transfers' then
        return query
        select t.payout_transfer_id, t.created_at, payout.row_sha256(jsonb_build_array(
            t.payout_transfer_id, t.payout_job_id, t.settlement_id, t.payee_id,
            t.source_transaction, t.destination, t.amount_minor, t.currency, t.payout_ref,
            t.request, extract(epoch from t.created_at)::text))
        from payout.payout_transfers as t
        where t.payout_transfer_id between p_first_id and p_last_id
        order by t.payout_transfer_id limit p_limit;
    end if;
end
$$;
comment on function payout.sealed_rows_v1(text, bigint, bigint, integer) is
    'Up to p_limit rows of a table in a range of ids (inclusive), in their order, with the SHA-256 '
    'of what seals of version 1 cover.';
-- end frozen: procedures/seals/sealed_rows_v1.sql

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

-- dropped: procedures/execution/reopen_declined.sql
drop function if exists payout.reopen_declined(timestamptz, integer);
-- end dropped: procedures/execution/reopen_declined.sql

reset role;
