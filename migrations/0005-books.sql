-- 0005-books: books that prove themselves: fold of the facts, balances as of a time, seals (issue 3)
-- depends: 0004-doorbell

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- What was decided beside the move, so that the facts alone tell how far a transfer has come.
alter table payout.transfer_observations
    add column is_counted_try boolean not null default false,
    add column has_unknown_send boolean not null default false,
    add column next_attempt_at timestamptz;
comment on column payout.transfer_observations.is_counted_try is
    'It counted against engine_settings.max_tries.';
comment on column payout.transfer_observations.has_unknown_send is
    'From here on some send under the key may have been executed.';
comment on column payout.transfer_observations.next_attempt_at is
    'When the engine was to act next, as decided then; null: not by itself.';

-- What was observed before is judged by the rules that judged it.
alter table payout.transfer_observations disable trigger _500_refuse_change;
with judged as (
    select o.observation_id, o.moved_to is distinct from 'paid' and o.signal <> 'key_expired'
            and o.verdict = 'ok' and r.reaction is distinct from 'pause' as is_counted_try,
        o.moved_to is not null and o.moved_to <> 'paid' and o.signal <> 'key_expired'
            and (o.verdict = 'alarm' or coalesce(r.reaction in ('unknown', 'park'), true))
            as has_unknown_send
    from payout.transfer_observations as o
    left join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
)
update payout.transfer_observations as o
set is_counted_try = j.is_counted_try,
    has_unknown_send = j.has_unknown_send
from judged as j
where j.observation_id = o.observation_id
    and (j.is_counted_try or j.has_unknown_send);
alter table payout.transfer_observations enable always trigger _500_refuse_change;

-- frozen: procedures/ledger/booked_places.sql 62c1d0e9d23e
-- booked_places: where the books have the money of each transfer.
--
-- Reversals come after a transfer was paid and do not change that it is.

create or replace function payout.booked_places()
returns table (payout_transfer_id bigint, place text)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select b.payout_transfer_id,
        string_agg(format('%s %s %s', b.account, b.amount_minor, b.currency), ', '
            order by b.account, b.currency)
    from (
        select e.payout_transfer_id, m.account, e.currency, sum(m.amount_minor) as amount_minor
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, -e.amount_minor), (e.credit_account, e.amount_minor)
        ) as m (account, amount_minor)
        where e.kind <> 'reversal' and m.account <> 'settlement_funds'
        group by e.payout_transfer_id, m.account, e.currency
        having sum(m.amount_minor) <> 0
    ) as b
    group by b.payout_transfer_id
$$;
comment on function payout.booked_places() is
    'For each transfer the account, amount in minor units and currency that its ledger entries '
    'leave it at, reversals aside.';
-- end frozen: procedures/ledger/booked_places.sql

-- frozen: procedures/ledger/fold_facts.sql 4a962193473e
-- fold_facts: every transfer's progress, made again out of what happened to it.
--
-- The last observation that moved a transfer says where it stands, unless a new
-- key or a claim came after it. Attempts count over all keys, and observations
-- are numbered under the transfer's lock, so both tell what came first.

create or replace function payout.fold_facts()
returns table (
    payout_transfer_id bigint,
    state text,
    generation integer,
    attempt integer,
    lease_until timestamptz,
    next_attempt_at timestamptz,
    stripe_transfer_id text,
    first_sent_at timestamptz,
    tries integer,
    has_unknown_send boolean,
    reason text
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select
        n.payout_transfer_id, w.state, n.generation, coalesce((n.claim).attempt, 0),
        case w.state when 'in_flight' then (n.claim).lease_until end,
        case
            when w.state in ('scheduled', 'retry_wait', 'unknown') then
                coalesce((n.move).next_attempt_at, n.due_at)
            -- An alarm about a declined transfer stops its next key.
            when w.state = 'failed' and not n.is_stopped then (n.move).next_attempt_at
        end,
        case w.state when 'paid' then (n.move).stripe_transfer_id end,
        n.first_sent_at, n.tries, n.has_unknown_send,
        case when not r.is_reopened then (n.move).reason end
    from payout.newest_facts() as n
    cross join lateral (
        select (n.move).moved_to = 'failed' and (n.move).generation < n.generation as is_reopened
    ) as r
    cross join lateral (
        select case
            when (n.move).moved_to in ('paid', 'parked') then (n.move).moved_to::text
            when (n.move).moved_to = 'failed' and not r.is_reopened then 'failed'
            when (n.claim).generation = n.generation
                and (n.claim).attempt > coalesce((n.move).attempt, 0) then 'in_flight'
            when not r.is_reopened then (n.move).moved_to::text
            when n.is_released then 'cancelled'
            else 'scheduled'
        end as state
    ) as w
$$;
comment on function payout.fold_facts() is
    'One row for each transfer as transfer_states must say it, folded from attempts, '
    'observations, keys and books.';
-- end frozen: procedures/ledger/fold_facts.sql

-- frozen: procedures/ledger/newest_facts.sql 58d52c18e626
-- newest_facts: of every transfer the facts that say how far it has come.
--
-- Its newest key, its newest claim, the first claim under that key, the last
-- observation that moved it, and what was seen since the key was opened.
-- Called by: fold_facts.

create or replace function payout.newest_facts()
returns table (
    payout_transfer_id bigint,
    due_at timestamptz,
    generation integer,
    move payout.transfer_observations,
    claim payout.transfer_attempts,
    first_sent_at timestamptz,
    tries integer,
    has_unknown_send boolean,
    is_stopped boolean,
    is_released boolean
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select
        t.payout_transfer_id, coalesce(s.pay_after, t.created_at), k.generation, m.move, a.claim,
        f.claimed_at, u.tries, u.has_unknown_send, u.is_stopped,
        exists (
            select from payout.ledger_entries as e
            where e.payout_transfer_id = t.payout_transfer_id
                and e.kind = 'release'
                and e.generation = k.generation
        )
    from payout.payout_transfers as t
    join payout.settlements as s on s.settlement_id = t.settlement_id
    cross join lateral (
        select coalesce(max(k.generation), 1) as generation,
            coalesce(max(k.evidence_observation_id), 0) as opened_after
        from payout.key_generations as k
        where k.payout_transfer_id = t.payout_transfer_id
    ) as k
    left join lateral (
        select o as move
        from payout.transfer_observations as o
        where o.payout_transfer_id = t.payout_transfer_id and o.moved_to is not null
        order by o.observation_id desc
        limit 1
    ) as m on true
    left join lateral (
        select a as claim
        from payout.transfer_attempts as a
        where a.payout_transfer_id = t.payout_transfer_id
        order by a.attempt desc
        limit 1
    ) as a on true
    left join lateral (
        select a.claimed_at
        from payout.transfer_attempts as a
        where a.payout_transfer_id = t.payout_transfer_id and a.generation = k.generation
        order by a.attempt
        limit 1
    ) as f on true
    cross join lateral (
        select count(*) filter (where o.is_counted_try)::integer as tries,
            coalesce(bool_or(o.has_unknown_send), false) as has_unknown_send,
            coalesce(bool_or(o.verdict = 'alarm' and o.reason <> 'report_of_another_transfer'
                and o.observation_id > (m.move).observation_id), false) as is_stopped
        from payout.transfer_observations as o
        where o.payout_transfer_id = t.payout_transfer_id and o.observation_id > k.opened_after
    ) as u
$$;
comment on function payout.newest_facts() is
    'One row for each transfer with the facts that fold_facts makes its progress of; tries and '
    'unknown sends are those of the newest key.';
-- end frozen: procedures/ledger/newest_facts.sql

-- frozen: procedures/api/auditor/verify_projection.sql 1beab697bf70
-- verify_projection: whether transfer_states says what the facts say.
--
-- Called by: operators, auditors. It reads every transfer with its facts.
-- Not compared: next_attempt_at, which may be moved without a fact, the reason,
-- the time of the change and the doorbell, which are for people and the queue.

create or replace function payout_api.verify_projection()
returns table (payout_transfer_id bigint, column_name text, stored text, folded text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select payout_transfer_id, c.column_name, c.stored, c.folded
    from payout.transfer_states as s
    full join payout.fold_facts() as f using (payout_transfer_id)
    cross join lateral (values
        ('state', s.state::text, f.state),
        ('generation', s.generation::text, f.generation::text),
        ('attempt', s.attempt::text, f.attempt::text),
        ('lease_until', s.lease_until::text, f.lease_until::text),
        ('stripe_transfer_id', s.stripe_transfer_id, f.stripe_transfer_id),
        ('first_sent_at', s.first_sent_at::text, f.first_sent_at::text),
        ('tries', s.tries::text, f.tries::text),
        ('has_unknown_send', s.has_unknown_send::text, f.has_unknown_send::text)
    ) as c (column_name, stored, folded)
    where c.stored is distinct from c.folded
    union all
    select payout_transfer_id, 'money', d.place, b.place
    from (
        select t.payout_transfer_id,
            format('%s %s %s',
                case
                    when s.state = 'paid' then 'stripe_balance'
                    when s.state in ('failed', 'cancelled') then 'payable:' || t.payee_id
                    else 'in_flight'
                end, t.amount_minor, t.currency) as place
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    ) as d
    full join payout.booked_places() as b using (payout_transfer_id)
    where d.place is distinct from b.place
    order by 1, 2
$$;
comment on function payout_api.verify_projection() is
    'One row for each difference between transfer_states (stored) and the fold of the facts '
    '(folded); column money compares where the state says the amount is with the books. None: '
    'all is well.';
revoke execute on function payout_api.verify_projection() from public;
grant execute on function payout_api.verify_projection() to payout_operator, payout_auditor;
-- end frozen: procedures/api/auditor/verify_projection.sql

-- frozen: procedures/doctor/check_rights.sql 8ff140fcaa99
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
                    '^payout_api[.]doctor[(]'),
                ('payout_operator|payout_auditor', 'EXECUTE',
                    '^payout_api[.]verify_projection[(]')
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

-- frozen: procedures/execution/expire_leases.sql e6866bdd97c6
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
            error_rule_id, is_counted_try, has_unknown_send, next_attempt_at)
        select j.payout_transfer_id, j.generation, j.attempt, 'lease_expired', 'ok', j.to_state,
            j.reason, r.error_rule_id, true, true, case j.to_state when 'unknown' then p_now end
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

reset role;
