-- Revert 0008-lookups.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

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

-- frozen: procedures/api/worker/sweep.sql 123d7157744b
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
        payout.reopen_declined(v_now, p_limit),
        payout.ring_doorbells(v_now, p_limit);
end
$$;
comment on function payout_api.sweep(integer) is
    'Closes leases that ran out, parks what is too old to send, opens new keys where rule K '
    'allows, rings for what is due; up to p_limit of each. Returns how many. It also seals.';
revoke execute on function payout_api.sweep(integer) from public;
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
-- end frozen: procedures/api/worker/sweep.sql

-- frozen: procedures/execution/judge_outcome.sql 2e0b66520324
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

    if p_outcome.signal = 'response' and p_outcome.http_status between 200 and 299 then
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

-- frozen: procedures/execution/judge_success.sql 6769748c2664
-- judge_success: Stripe says that it made a transfer.
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
) is 'Judges a 2xx answer: paid, already known, or an alarm that parks what is still open.';
-- end frozen: procedures/execution/judge_success.sql

-- frozen: procedures/execution/other_attempts_drain_at.sql aa2701e2314c
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
                and o.signal not in ('lease_expired', 'key_expired')
        )
$$;
comment on function payout.other_attempts_drain_at(payout.transfer_states) is
    'When the last unreported other attempt of the current key counts as over; null: none is open.';
-- end frozen: procedures/execution/other_attempts_drain_at.sql

-- frozen: procedures/execution/record_outcomes.sql 9c4798233c7d
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

-- frozen: procedures/execution/reopen_declined.sql 77eefde7c4c0
-- reopen_declined: give transfers that were declined for lack of funds a new key when due.
--
-- Rule K, first case: the former key ended in a decline that Stripe has saved,
-- no other attempt was open (judge_failure saw to it), and no key of this
-- transfer ever saw a success. The decline is the evidence, named by the row.

create or replace function payout.reopen_declined(p_now timestamptz, p_limit integer)
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
            and payout.saved_decline(s) is not null
            and not exists (
                select from payout.transfer_observations as o
                where o.payout_transfer_id = s.payout_transfer_id
                    and o.stripe_transfer_id is not null
            )
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

    insert into payout.key_generations (
        payout_transfer_id, generation, reason, evidence_observation_id)
    select s.payout_transfer_id, s.generation + 1, s.reason, payout.saved_decline(s)
    from payout.transfer_states as s
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
comment on function payout.reopen_declined(timestamptz, integer) is
    'Opens the next key for up to p_limit declined transfers that are due; returns how many.';
-- end frozen: procedures/execution/reopen_declined.sql

-- frozen: sql/views/unpaid.sql a6b904227ffc
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
        else st.whose_turn
    end as whose_turn,
    s.next_attempt_at,
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

-- frozen: procedures/guards/progress_fits.sql ee5c9f6fb6ff
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
    end;
begin
    return v_broken is null or payout.refuse_row('transfer_states', v_broken);
end
$$;
comment on function payout.progress_fits(payout.transfer_states) is
    'Check: counters, lease, next attempt, Stripe''s id and reason are those that the state has.';
-- end frozen: procedures/guards/progress_fits.sql

-- frozen: procedures/ledger/newest_facts.sql 55a41fec7f80
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
                max(k.evidence_observation_id) as opened_after
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

-- frozen: procedures/seals/sealed_rows_v1.sql 217f362185e5
-- sealed_rows_v1: the rows of a range of ids, each with its time and its digest.
--
-- A digest covers the columns named here and no others, as a JSON array of
-- numbers, texts, truths and seconds since 1970: no setting of a session shows
-- in it. Seals of version 1 stand on this text: never change it, write a v2.

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
            k.evidence_observation_id, k.opened_by, extract(epoch from k.opened_at)::text))
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

-- dropped: procedures/lookups/refuse_lookup_page.sql
drop function if exists payout.refuse_lookup_page(bigint, text);
-- end dropped: procedures/lookups/refuse_lookup_page.sql

-- dropped: procedures/lookups/page_problem.sql
drop function if exists payout.page_problem(text, boolean, text, jsonb, boolean);
-- end dropped: procedures/lookups/page_problem.sql

-- dropped: procedures/lookups/match_facts.sql
drop function if exists payout.match_facts(jsonb);
-- end dropped: procedures/lookups/match_facts.sql

-- dropped: procedures/lookups/lookup_queries.sql
drop function if exists payout.lookup_queries(payout.payout_transfers);
-- end dropped: procedures/lookups/lookup_queries.sql

-- dropped: procedures/lookups/lookup_outcome.sql
drop function if exists payout.lookup_outcome(payout.transfer_lookups, payout.transfer_states);
-- end dropped: procedures/lookups/lookup_outcome.sql

-- dropped: procedures/lookups/first_absence.sql
drop function if exists payout.first_absence(payout.transfer_lookups);
-- end dropped: procedures/lookups/first_absence.sql

-- dropped: procedures/lookups/finish_lookup.sql
drop function if exists payout.finish_lookup(payout.transfer_lookups, payout.transfer_states);
-- end dropped: procedures/lookups/finish_lookup.sql

-- dropped: procedures/lookups/add_lookup_page.sql
drop function if exists payout.add_lookup_page(payout.transfer_lookups, integer, text, jsonb, boolean);
-- end dropped: procedures/lookups/add_lookup_page.sql

-- dropped: procedures/execution/was_seen_at_stripe.sql
drop function if exists payout.was_seen_at_stripe(bigint);
-- end dropped: procedures/execution/was_seen_at_stripe.sql

-- dropped: procedures/execution/reopen_failed.sql
drop function if exists payout.reopen_failed(timestamptz, integer);
-- end dropped: procedures/execution/reopen_failed.sql

-- dropped: procedures/execution/proof_of_absence.sql
drop function if exists payout.proof_of_absence(payout.transfer_states);
-- end dropped: procedures/execution/proof_of_absence.sql

-- dropped: procedures/execution/judge_lookup.sql
drop function if exists payout.judge_lookup(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings);
-- end dropped: procedures/execution/judge_lookup.sql

-- dropped: procedures/execution/judge_absence.sql
drop function if exists payout.judge_absence(payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings);
-- end dropped: procedures/execution/judge_absence.sql

-- dropped: procedures/execution/is_definite.sql
drop function if exists payout.is_definite(payout.transfer_attempts);
-- end dropped: procedures/execution/is_definite.sql

-- dropped: procedures/execution/absence_counts_from.sql
drop function if exists payout.absence_counts_from(bigint);
-- end dropped: procedures/execution/absence_counts_from.sql

-- dropped: procedures/api/worker/report_lookup_page.sql
drop function if exists payout_api.report_lookup_page(bigint, integer, text, jsonb, boolean);
-- end dropped: procedures/api/worker/report_lookup_page.sql

-- dropped: procedures/api/worker/claim_lookups.sql
drop function if exists payout_api.claim_lookups(text, integer, text, boolean);
-- end dropped: procedures/api/worker/claim_lookups.sql

-- dropped: procedures/api/operator/approve_absence.sql
drop function if exists payout_api.approve_absence(bigint, text);
-- end dropped: procedures/api/operator/approve_absence.sql

-- dropped: procedures/guards/tg_transfer_states__plan_lookup.sql
drop trigger if exists _110_plan_lookup on payout.transfer_states;
drop function if exists payout.tg_transfer_states__plan_lookup();
-- end dropped: procedures/guards/tg_transfer_states__plan_lookup.sql

delete from payout.stripe_error_rules where error_rule_id in (60, 61);
update payout.stripe_error_rules
set advice = case error_rule_id
    when 50 then 'Stripe forgets keys after 24 hours: look the payout_ref up at Stripe; nothing is sent before.'
    when 150 then 'This key was sent before with another request: look the payout_ref up at Stripe.'
    else 'Stripe failed under this key and may still have paid: look the payout_ref up at Stripe.'
end
where error_rule_id in (50, 150, 210, 211);
comment on column payout.stripe_error_rules.reaction is
    'retry: surely not executed, same key; decline: saved under the key, money back to the payee; '
    'decline_until_funded: the same, and a new key later by itself; refuse: not saved, a decline '
    'only if nothing else was ever sent under the key; unknown: same key, sticky; park: a person; '
    'pause: hold the whole engine, costs no try.';
alter table payout.stripe_error_rules
    drop constraint signal_is_known,
    add constraint signal_is_known check (signal in (
        'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired', 'key_expired')),
    drop constraint reaction_is_known,
    add constraint reaction_is_known check (reaction in (
        'retry', 'decline', 'decline_until_funded', 'refuse', 'unknown', 'park', 'pause'));
alter table payout.engine_settings
    drop column absence_limit_minor,
    drop column scans_apart_for,
    drop column indeterminate_for;
alter table payout.key_generations drop column second_evidence_observation_id;
comment on column payout.key_generations.evidence_observation_id is
    'The accepted decline, saved under the former key, that closed the former generation.';
alter table payout.transfer_observations
    drop constraint signal_is_known,
    add constraint signal_is_known check (signal in (
        'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired', 'key_expired'));
alter table payout.transfer_states drop column next_lookup_at;
drop table payout.transfer_lookup_pages;
drop table payout.transfer_lookups;
alter type payout.outcome
    drop attribute first_absence_id,
    drop attribute found,
    drop attribute lookup_id;

reset role;
