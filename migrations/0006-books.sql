-- 0006-books: books that prove themselves: fold of the facts, balances as of a time, seals
-- depends: 0005-lean-settling

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

-- Seals ------------------------------------------------------------------------------------------

-- A number in the order of insertion, as the other sealed tables have it. New keys are rare, hence
-- the table small: writing it anew takes no time.
alter table payout.key_generations
    -- squawk-ignore adding-field-with-default
    add column key_generation_id bigint not null generated always as identity,
    -- squawk-ignore constraint-missing-not-valid, disallowed-unique-constraint
    add constraint key_generations_key_generation_id_key unique (key_generation_id);
comment on column payout.key_generations.key_generation_id is
    'Number in the order in which keys were opened, for seals.';

create table payout.seals (
    seal_id bigint not null,
    seal_version integer not null,
    table_name text not null,
    first_id bigint not null,
    last_id bigint not null,
    row_ids int8multirange not null,
    row_digests bytea not null,
    rows_sha256 bytea not null,
    rows_from timestamptz,
    rows_until timestamptz,
    sealed_at timestamptz not null,
    seal_sha256 bytea not null,
    constraint seals_pkey primary key (seal_id),
    constraint seals_table_name_last_id_key unique (table_name, last_id),
    constraint seals_count_from_one check (seal_id >= 1),
    constraint version_is_known check (seal_version = 1),
    constraint range_is_in_order check (first_id <= last_id),
    constraint digests_have_eight_bytes_a_row check (octet_length(row_digests) % 8 = 0),
    constraint hashes_have_32_bytes
        check (octet_length(rows_sha256) = 32 and octet_length(seal_sha256) = 32)
);
comment on table payout.seals is
    'One chain over all sealed tables: each seal closes the next range of ids of one table and '
    'covers the hash of the seal before it. Insert-only.';
comment on column payout.seals.seal_id is 'Place in the chain, without gaps.';
comment on column payout.seals.seal_version is
    'Which columns the digests cover: version 1 those of payout.sealed_rows_v1.';
comment on column payout.seals.first_id is
    'Where the range begins: right after the former range of this table, gaps included.';
comment on column payout.seals.last_id is 'Where it ends; no row up to here could still come.';
comment on column payout.seals.row_ids is 'The ids in the range that had a row.';
comment on column payout.seals.row_digests is
    'The first 8 bytes of the digest of each of these rows, in order: they tell which row changed.';
comment on column payout.seals.rows_sha256 is
    'SHA-256 of the whole digests of these rows, in order: it tells that none changed.';
comment on column payout.seals.rows_from is 'The earliest time of a row in the range.';
comment on column payout.seals.rows_until is
    'The latest time of a row of this table up to the end of the range.';
comment on column payout.seals.sealed_at is 'When the range was closed.';
comment on column payout.seals.seal_sha256 is
    'SHA-256 of the former seal''s hash and the other columns of this one.';

create table payout.seal_marks (
    table_name text not null,
    marked_id bigint,
    marked_xid xid8,
    marked_at timestamptz not null default now(),
    constraint seal_marks_pkey primary key (table_name)
);
comment on table payout.seal_marks is
    'The tables that are sealed, and for each the id up to which it can be sealed once every '
    'transaction that ran when the mark was set has ended. The first row is the sealer''s lock.';
comment on column payout.seal_marks.marked_id is 'The newest id when the mark was set; null: no row.';
comment on column payout.seal_marks.marked_xid is
    'Transactions from this id on began later; null: there is no mark yet.';
comment on column payout.seal_marks.marked_at is 'When the mark was set; sealing waits a minute.';
insert into payout.seal_marks (table_name) values
    ('key_generations'), ('ledger_entries'), ('payout_transfers'), ('transfer_observations');

create table payout.seal_subtotals (
    account text not null,
    currency payout.currency_code not null,
    seal_id bigint not null,
    debit_minor bigint not null,
    credit_minor bigint not null,
    constraint seal_subtotals_pkey primary key (account, currency, seal_id),
    constraint seal_subtotals_seal_id_fkey foreign key (seal_id) references payout.seals (seal_id)
);
comment on table payout.seal_subtotals is
    'For each seal of ledger_entries the accounts that its range moved, with all that was booked '
    'on them up to its end. Insert-only.';
comment on column payout.seal_subtotals.debit_minor is
    'Sum of all debits up to the end of the seal, in minor units of currency.';
comment on column payout.seal_subtotals.credit_minor is
    'Sum of all credits up to the end of the seal, in minor units of currency.';
create index seal_subtotals_seal_id_idx on payout.seal_subtotals (seal_id);

create trigger _500_refuse_change before update or delete on payout.seal_subtotals
    for each row execute function payout.tg__refuse_change();
alter table payout.seal_subtotals enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.seal_subtotals
    for each statement execute function payout.tg__refuse_change();
alter table payout.seal_subtotals enable always trigger _500_refuse_truncate;
create trigger _500_refuse_change before update or delete on payout.seals
    for each row execute function payout.tg__refuse_change();
alter table payout.seals enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.seals
    for each statement execute function payout.tg__refuse_change();
alter table payout.seals enable always trigger _500_refuse_truncate;
create trigger _500_refuse_delete before delete on payout.seal_marks
    for each row execute function payout.tg__refuse_change();
alter table payout.seal_marks enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.seal_marks
    for each statement execute function payout.tg__refuse_change();
alter table payout.seal_marks enable always trigger _500_refuse_truncate;

grant select on payout.seals, payout.seal_subtotals, payout.seal_marks
    to payout_operator, payout_auditor;

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

-- frozen: procedures/ledger/fold_facts.sql 297221c93e05
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
        n.payout_transfer_id, w.state, n.generation, coalesce(n.claim_attempt, 0),
        case w.state when 'in_flight' then n.lease_until end,
        case
            when w.state in ('scheduled', 'retry_wait', 'unknown') then
                coalesce(n.next_attempt_at, n.due_at)
            -- An alarm about a declined transfer stops its next key.
            when w.state = 'failed' and not n.is_stopped then n.next_attempt_at
        end,
        case w.state when 'paid' then n.stripe_transfer_id end,
        n.first_sent_at, n.tries, n.has_unknown_send,
        case when not r.is_reopened then n.reason end
    from payout.newest_facts() as n
    cross join lateral (
        select n.moved_to = 'failed' and n.moved_generation < n.generation as is_reopened
    ) as r
    cross join lateral (
        select case
            when n.moved_to in ('paid', 'parked') then n.moved_to
            when n.moved_to = 'failed' and not r.is_reopened then n.moved_to
            when n.claim_generation = n.generation
                and n.claim_attempt > coalesce(n.moved_attempt, 0) then 'in_flight'
            when not r.is_reopened then n.moved_to
            when n.is_released then 'cancelled'
            else 'scheduled'
        end as state
    ) as w
$$;
comment on function payout.fold_facts() is
    'One row for each transfer as transfer_states must say it, folded from attempts, '
    'observations, keys and books.';
-- end frozen: procedures/ledger/fold_facts.sql

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

-- frozen: procedures/api/auditor/balances_as_of.sql e7206728100d
-- balances_as_of: what stood on each account at a time.
--
-- An entry counts from the moment its transaction began (created_at), with all
-- others of that transaction, but is seen only once it has committed: what is
-- said of a moment may still grow while a transaction that began before it runs.
-- What was sealed by then is not read again: sub-totals stand for it.

create or replace function payout_api.balances_as_of(p_at timestamptz)
returns table (
    account text,
    currency payout.currency_code,
    debit_minor bigint,
    credit_minor bigint,
    balance_minor bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    with sealed as (
        -- The longest run of seals all of whose entries count.
        select s.seal_id, s.last_id
        from payout.seals as s
        where s.table_name = 'ledger_entries' and s.rows_until <= p_at
        order by s.last_id desc
        limit 1
    ), rest as (
        -- Ranges beyond it that begin early enough, then what is not sealed yet.
        select s.first_id, s.last_id
        from payout.seals as s
        where s.table_name = 'ledger_entries' and s.rows_from <= p_at
            and s.last_id > coalesce((select b.last_id from sealed as b), -9223372036854775808)
        union all
        select coalesce(max(s.last_id) + 1, -9223372036854775808), 9223372036854775807
        from payout.seals as s
        where s.table_name = 'ledger_entries'
    )
    select b.account, b.currency, sum(b.debit_minor)::bigint, sum(b.credit_minor)::bigint,
        (sum(b.credit_minor) - sum(b.debit_minor))::bigint
    from (
        select t.* from sealed as s cross join lateral payout.subtotals_at(s.seal_id) as t
        union all
        select m.*
        from rest as r
        cross join lateral (
            -- Kept apart by the offset, so that each range is read by its ids.
            select l.* from payout.ledger_entries as l
            where l.ledger_entry_id between r.first_id and r.last_id
            offset 0
        ) as e
        cross join lateral (values
            (e.debit_account, e.currency, e.amount_minor, 0::bigint),
            (e.credit_account, e.currency, 0::bigint, e.amount_minor)
        ) as m (account, currency, debit_minor, credit_minor)
        where e.created_at <= p_at
    ) as b
    group by b.account, b.currency
$$;
comment on function payout_api.balances_as_of(timestamptz) is
    'Credit minus debit of every account and currency in minor units, of the entries whose '
    'transaction had begun by p_at and has committed; infinity: of all.';
revoke execute on function payout_api.balances_as_of(timestamptz) from public;
grant execute on function payout_api.balances_as_of(timestamptz)
    to payout_operator, payout_auditor;
-- end frozen: procedures/api/auditor/balances_as_of.sql

-- frozen: procedures/api/auditor/seal_head.sql 3c61f3441684
-- seal_head: the end of the chain of seals, to be kept where this database's owner cannot write.
--
-- Called by: operators, auditors; print it, mail it, log it elsewhere, daily.
-- Whoever can rewrite tables can rewrite every seal after what he changed: only
-- a head that was kept elsewhere tells. verify_seals(p_head => …) compares.

create or replace function payout_api.seal_head()
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select s.seal_id || ':' || encode(s.seal_sha256, 'hex')
    from payout.seals as s
    order by s.seal_id desc
    limit 1
$$;
comment on function payout_api.seal_head() is
    'Number and hash of the newest seal; null before the first.';
revoke execute on function payout_api.seal_head() from public;
grant execute on function payout_api.seal_head() to payout_operator, payout_auditor;
-- end frozen: procedures/api/auditor/seal_head.sql

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

-- frozen: procedures/api/auditor/verify_seals.sql e491d7ecfefb
-- verify_seals: the first row of each table that is not as it was sealed.
--
-- Called by: operators, auditors. It reads what it verifies: p_from a seal.
-- p_head is what seal_head() said once: without it nobody can tell that the
-- newest seals were removed, or the chain made anew from some seal on.
-- Raises: SP330 no such seal to start from, or no head.

create or replace function payout_api.verify_seals(
    p_from bigint default 1, p_head text default null
)
returns table (table_name text, row_id bigint, seal_id bigint, what text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    if p_from is null or (p_from <> 1 and not exists (
        select from payout.seals as s where s.seal_id = p_from
    )) then
        raise exception 'there is no seal %', coalesce(p_from::text, 'null')
            using
                errcode = 'SP330',
                hint = 'select min(seal_id), max(seal_id) from payout.seals';
    end if;
    if p_head !~ '^[1-9][0-9]{0,17}:[0-9a-f]{64}$' then
        raise exception 'head % is none', p_head
            using
                errcode = 'SP330',
                hint = 'Give what payout_api.seal_head() said: number, colon, 64 hex digits.';
    end if;

    return query
    select distinct on (f.table_name) f.table_name, f.row_id, f.seal_id, f.what
    from (
        select c.*
        from payout.seals as s
        cross join lateral payout.check_seal(s) as c
        where s.seal_id >= p_from
        union all
        select 'seals', h.seal_id, h.seal_id, 'it is not the seal that the kept head names'
        from (select split_part(p_head, ':', 1)::bigint, split_part(p_head, ':', 2))
            as h (seal_id, sha256)
        where p_head is not null and not exists (
            select from payout.seals as s
            where s.seal_id = h.seal_id and s.seal_sha256 = decode(h.sha256, 'hex')
        )
    ) as f
    order by f.table_name, f.seal_id, f.row_id;
end
$$;
comment on function payout_api.verify_seals(bigint, text) is
    'Recomputes seals from p_from on and returns per table the first row that was altered, removed '
    'or slipped in, table seals for the chain itself; nothing when all is as it was sealed.';
revoke execute on function payout_api.verify_seals(bigint, text) from public;
grant execute on function payout_api.verify_seals(bigint, text) to payout_operator, payout_auditor;
-- end frozen: procedures/api/auditor/verify_seals.sql

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

-- frozen: procedures/api/worker/seal.sql 9d983f1ec9f7
-- seal: close what can no longer change, so that a later change shows.
--
-- Called by: sweep, hence by every worker; operators when they like. At most
-- once a minute it does something, and whoever comes meanwhile passes.
-- Locks: the rows of seal_marks, skipping when somebody else has them.
-- Raises: SP311 a limit that is none.

create or replace function payout_api.seal(p_limit integer default 10000)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_mark payout.seal_marks;
    v_sealed integer := 0;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'seal of % rows', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;

    -- The first mark is the lock: there is one chain, hence one sealer at a time.
    perform
    from payout.seal_marks as m
    where m.table_name = 'key_generations'
        and exists (
            select from payout.seal_marks as d
            where d.marked_at <= v_now - interval '1 minute' or d.marked_at > v_now
        )
    for update skip locked;
    if not found then
        return 0;
    end if;

    for v_mark in
        select m.*
        from payout.seal_marks as m
        where m.marked_at <= v_now - interval '1 minute' or m.marked_at > v_now
        order by m.table_name
    loop
        v_sealed := v_sealed + payout.seal_up_to_mark(v_mark, v_now, p_limit);
    end loop;
    return v_sealed;
end
$$;
comment on function payout_api.seal(integer) is
    'Seals rows of the ledger, of observations, keys and transfers that nothing can come before '
    'any more, about p_limit of each; returns how many. Safe to repeat.';
revoke execute on function payout_api.seal(integer) from public;
grant execute on function payout_api.seal(integer) to payout_worker, payout_operator;
-- end frozen: procedures/api/worker/seal.sql

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

-- frozen: procedures/doctor/check_seals.sql 0aef5498b782
-- check_seals: whether facts are sealed in time, and the newest seals are as they were made.
--
-- Quick, hence in the doctor; payout_api.verify_seals() reads everything.

create or replace function payout.check_seals()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'facts are sealed in time', count(*) = 0,
        coalesce(string_agg(m.table_name, ', '), 'all that are older than 15 minutes'),
        'start a worker, or payout_api.seal(); else a transaction, of any database of the server, '
        'has been writing for long: select * from pg_stat_activity where backend_xid is not null'
    from payout.seal_marks as m
    cross join lateral payout.sealed_rows_v1(
        m.table_name,
        coalesce(
            (select max(s.last_id) + 1 from payout.seals as s where s.table_name = m.table_name),
            -9223372036854775808),
        9223372036854775807, 1) as r
    where r.row_at < clock_timestamp() - interval '15 minutes'
    union all
    select 'the newest seals are as they were made', count(*) = 0,
        coalesce(string_agg(distinct c.table_name, ', '), 'the last range of each sealed table'),
        'payout_api.hold(''engine'', …), select * from payout_api.verify_seals(), and find out who '
        'wrote there'
    from payout.seal_marks as m
    cross join lateral (
        select s as seal
        from payout.seals as s
        where s.table_name = m.table_name
        order by s.last_id desc
        limit 1
    ) as n
    cross join lateral payout.check_seal(n.seal) as c
$$;
comment on function payout.check_seals() is
    'Part of payout_api.doctor(): nothing waits long to be sealed, the newest ranges are intact.';
-- end frozen: procedures/doctor/check_seals.sql

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

-- frozen: procedures/seals/add_seal.sql 45e9948d2e6e
-- add_seal: seal the next rows of a table, up to an id below which no row can come any more.
--
-- Called by: seal_up_to_mark, under the lock of the one sealer.

create or replace function payout.add_seal(
    p_table_name text, p_up_to_id bigint, p_limit integer, p_now timestamptz
)
returns payout.seals
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_seal payout.seals;
    v_former payout.seals;
begin
    select * into v_former
    from payout.seals as s
    where s.table_name = p_table_name
    order by s.last_id desc
    limit 1;

    v_seal.seal_id := 1 + coalesce((select max(s.seal_id) from payout.seals as s), 0);
    v_seal.seal_version := 1;
    v_seal.table_name := p_table_name;
    -- The first range begins at the lowest number there is: ids below 1 could be slipped in.
    v_seal.first_id := coalesce(v_former.last_id + 1, -9223372036854775808);
    v_seal.sealed_at := p_now;

    select
        coalesce(range_agg(int8range(r.row_id, r.row_id, '[]')), '{}'),
        coalesce(string_agg(substr(r.row_sha256, 1, 8), '' order by r.row_id), ''),
        sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), '')),
        min(r.row_at), greatest(v_former.rows_until, max(r.row_at)),
        case when count(*) < p_limit then p_up_to_id else max(r.row_id) end
    into v_seal.row_ids, v_seal.row_digests, v_seal.rows_sha256, v_seal.rows_from,
        v_seal.rows_until, v_seal.last_id
    from payout.sealed_rows_v1(p_table_name, v_seal.first_id, p_up_to_id, p_limit) as r;

    v_seal.seal_sha256 := payout.seal_sha256(v_seal);
    insert into payout.seals select v_seal.*;
    if p_table_name = 'ledger_entries' then
        insert into payout.seal_subtotals (
            seal_id, account, currency, debit_minor, credit_minor)
        select v_seal.seal_id, b.account, b.currency, b.debit_minor, b.credit_minor
        from payout.subtotals_of(v_seal) as b;
    end if;
    return v_seal;
end
$$;
comment on function payout.add_seal(text, bigint, integer, timestamptz) is
    'Seals up to p_limit rows of a table that are not sealed yet and not above an id, with the '
    'sub-totals of the ledger; returns the seal.';
-- end frozen: procedures/seals/add_seal.sql

-- frozen: procedures/seals/check_seal.sql cb3490b2b131
-- check_seal: whether a seal, what it covers and what it sums up are as they were.
--
-- Sub-totals are judged where the rows are as they were: else they must differ.

create or replace function payout.check_seal(p_seal payout.seals)
returns table (table_name text, row_id bigint, seal_id bigint, what text)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with changed as materialized (
        select r.row_id, r.what from payout.check_seal_rows(p_seal) as r
    )
    select 'seals', p_seal.seal_id, p_seal.seal_id, c.what
    from payout.check_seal_chain(p_seal) as c (what)
    where c.what is not null
    union all
    select p_seal.table_name, c.row_id, p_seal.seal_id, c.what
    from changed as c
    union all
    select 'seal_subtotals', null, p_seal.seal_id, format('%s %s is altered', account, currency)
    from (select s.* from payout.seal_subtotals as s where s.seal_id = p_seal.seal_id) as s
    full join (
        select b.* from payout.subtotals_of(p_seal) as b
        where p_seal.table_name = 'ledger_entries'
    ) as b using (account, currency)
    where (s.debit_minor, s.credit_minor) is distinct from (b.debit_minor, b.credit_minor)
        and not exists (select from changed as c)
$$;
comment on function payout.check_seal(payout.seals) is
    'Findings about one seal: the chain, its rows, its sub-totals.';
-- end frozen: procedures/seals/check_seal.sql

-- frozen: procedures/seals/check_seal_chain.sql 683b73e8f7cf
-- check_seal_chain: whether a seal is as it was made and follows the one before it.

create or replace function payout.check_seal_chain(p_seal payout.seals)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_seal.seal_id > 1 and not exists (
            select from payout.seals as b where b.seal_id = p_seal.seal_id - 1
        ) then 'the seal before it is missing'
        when p_seal.seal_sha256 <> payout.seal_sha256(p_seal)
            then 'it was altered, or the seal before it was'
        when p_seal.first_id is distinct from coalesce((
            select max(b.last_id) + 1
            from payout.seals as b
            where b.table_name = p_seal.table_name and b.last_id < p_seal.last_id
        ), -9223372036854775808) then 'it does not begin where the one before it ended'
    end
$$;
comment on function payout.check_seal_chain(payout.seals) is
    'What is wrong with a seal itself; null when it is as it was made.';
-- end frozen: procedures/seals/check_seal_chain.sql

-- frozen: procedures/seals/check_seal_rows.sql a2c3ff49238f
-- check_seal_rows: which rows of a sealed range are not as they were sealed.

create or replace function payout.check_seal_rows(p_seal payout.seals)
returns table (row_id bigint, what text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_ids bigint[];
    v_digests bytea[];
    v_rows_sha256 bytea;
begin
    select
        coalesce(array_agg(r.row_id), '{}'), coalesce(array_agg(substr(r.row_sha256, 1, 8)), '{}'),
        sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), ''))
    into v_ids, v_digests, v_rows_sha256
    from payout.sealed_rows_v1(
        p_seal.table_name, p_seal.first_id, p_seal.last_id, null) as r;
    if v_rows_sha256 = p_seal.rows_sha256 then
        return;
    end if;

    return query
    select coalesce(n.row_id, s.row_id), case
        when s.row_id is null then 'slipped in'
        when n.row_id is null then 'removed'
        else 'altered'
    end
    from unnest(v_ids, v_digests) as n (row_id, digest)
    full join (
        select i.row_id, substr(p_seal.row_digests, i.position::integer * 8 - 7, 8) as digest
        from (
            select g.row_id, row_number() over (order by g.row_id) as position
            from unnest(p_seal.row_ids) as r
            cross join lateral generate_series(lower(r), upper(r) - 1) as g (row_id)
        ) as i
    ) as s on s.row_id = n.row_id
    where s.digest is distinct from n.digest
    order by 1;
    -- Somebody found a row whose digest begins like that of the row it replaces.
    if not found then
        return query select null::bigint, 'altered';
    end if;
end
$$;
comment on function payout.check_seal_rows(payout.seals) is
    'Rows of a seal''s range that were altered, removed or slipped in since; none: all is well.';
-- end frozen: procedures/seals/check_seal_rows.sql

-- frozen: procedures/seals/newest_row_id.sql 9de0c8241600
-- newest_row_id: the highest id that a sealed table shows.
--
-- Stable, so that it reads with the snapshot of the query that calls it.

create or replace function payout.newest_row_id(p_table_name text)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case p_table_name
        when 'ledger_entries' then
            (select max(e.ledger_entry_id) from payout.ledger_entries as e)
        when 'transfer_observations' then
            (select max(o.observation_id) from payout.transfer_observations as o)
        when 'key_generations' then
            (select max(k.key_generation_id) from payout.key_generations as k)
        when 'payout_transfers' then
            (select max(t.payout_transfer_id) from payout.payout_transfers as t)
    end
$$;
comment on function payout.newest_row_id(text) is
    'The highest id in a table that is sealed; null: it is empty.';
-- end frozen: procedures/seals/newest_row_id.sql

-- frozen: procedures/seals/row_sha256.sql 9e7e5252412a
-- row_sha256: the digest of a row, of its columns in JSON.

create or replace function payout.row_sha256(p_columns jsonb)
returns bytea
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return sha256(convert_to(p_columns::text, 'UTF8'));
end
$$;
comment on function payout.row_sha256(jsonb) is 'SHA-256 of a JSON text in UTF-8.';
-- end frozen: procedures/seals/row_sha256.sql

-- frozen: procedures/seals/seal_sha256.sql c5692e10ba0a
-- seal_sha256: the hash of a seal, over all it says and the hash of the seal before it.
--
-- So a seal cannot be changed, removed or slipped in without changing every
-- later one; whoever has kept one hash elsewhere can tell.

create or replace function payout.seal_sha256(p_seal payout.seals)
returns bytea
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select sha256(
        coalesce(
            (select b.seal_sha256 from payout.seals as b where b.seal_id = p_seal.seal_id - 1), '')
        || convert_to(jsonb_build_array(
            p_seal.seal_id, p_seal.seal_version, p_seal.table_name, p_seal.first_id,
            p_seal.last_id, p_seal.row_ids::text, encode(p_seal.row_digests, 'hex'),
            encode(p_seal.rows_sha256, 'hex'), extract(epoch from p_seal.rows_from)::text,
            extract(epoch from p_seal.rows_until)::text,
            extract(epoch from p_seal.sealed_at)::text)::text, 'UTF8'))
$$;
comment on function payout.seal_sha256(payout.seals) is
    'SHA-256 of the former seal''s hash followed by this seal''s other columns.';
-- end frozen: procedures/seals/seal_sha256.sql

-- frozen: procedures/seals/seal_up_to_mark.sql 631d2627402f
-- seal_up_to_mark: seal a table up to its mark, then set the next one.
--
-- Ids are given out before commit, so a lower id can appear after a higher one.
-- Whoever holds one below the mark had, when it was set, a transaction id below
-- the snapshot's end, and is over once no such transaction runs. Only who had
-- fetched an id and not yet written its row had none: hence a minute beside.

create or replace function payout.seal_up_to_mark(
    p_mark payout.seal_marks, p_now timestamptz, p_limit integer
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_seal payout.seals;
    v_last_id bigint;
    v_sealed integer := 0;
begin
    -- A mark out of the future is of another cluster, or of a clock that was set back.
    if p_mark.marked_at <= p_now
        and p_mark.marked_xid <= pg_snapshot_xmax(pg_current_snapshot()) then
        if p_mark.marked_xid > pg_snapshot_xmin(pg_current_snapshot()) then
            return 0;
        end if;
        v_last_id := coalesce((
            select max(s.last_id) from payout.seals as s where s.table_name = p_mark.table_name),
            -9223372036854775808);
        while v_last_id < p_mark.marked_id loop
            if v_sealed >= p_limit then
                return v_sealed;
            end if;
            v_seal := payout.add_seal(p_mark.table_name, p_mark.marked_id, 1000, p_now);
            v_last_id := v_seal.last_id;
            v_sealed := v_sealed + octet_length(v_seal.row_digests) / 8;
        end loop;
    end if;

    -- One query, hence one snapshot: what it sees as newest is what its end bounds.
    update payout.seal_marks as m
    set marked_id = payout.newest_row_id(m.table_name),
        marked_xid = pg_snapshot_xmax(pg_current_snapshot()),
        marked_at = p_now
    where m.table_name = p_mark.table_name;
    return v_sealed;
end
$$;
comment on function payout.seal_up_to_mark(payout.seal_marks, timestamptz, integer) is
    'Seals a table up to where it was marked, about p_limit rows at most, and marks it anew once '
    'it is there; returns the rows sealed.';
-- end frozen: procedures/seals/seal_up_to_mark.sql

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

-- frozen: procedures/seals/subtotals_at.sql 6098da00581f
-- subtotals_at: what stood on every account at the end of a seal of the ledger.
--
-- It steps from one account to the next by index and takes the newest sub-total
-- of each: what it costs grows with the accounts, not with their history.

create or replace function payout.subtotals_at(p_seal_id bigint)
returns table (
    account text, currency payout.currency_code, debit_minor bigint, credit_minor bigint
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
    with recursive accounts as (
        (
            select t.account, t.currency
            from payout.seal_subtotals as t
            order by t.account, t.currency
            limit 1
        )
        union all
        select n.account, n.currency
        from accounts as a
        cross join lateral (
            select t.account, t.currency
            from payout.seal_subtotals as t
            where (t.account, t.currency) > (a.account, a.currency)
            order by t.account, t.currency
            limit 1
        ) as n
    )
    select a.account, a.currency, t.debit_minor, t.credit_minor
    from accounts as a
    cross join lateral (
        select t.debit_minor, t.credit_minor
        from payout.seal_subtotals as t
        where t.account = a.account and t.currency = a.currency and t.seal_id <= p_seal_id
        order by t.seal_id desc
        limit 1
    ) as t
$$;
comment on function payout.subtotals_at(bigint) is
    'Sums of debits and credits of every account, in minor units, up to the end of a seal.';
-- end frozen: procedures/seals/subtotals_at.sql

-- frozen: procedures/seals/subtotals_of.sql 6a926012e506
-- subtotals_of: what stands on each account that a seal's range of the ledger moved, at its end.
--
-- What stood there at the end of the former seal that moved the account, and
-- what the range adds.

create or replace function payout.subtotals_of(p_seal payout.seals)
returns table (
    account text, currency payout.currency_code, debit_minor bigint, credit_minor bigint
)
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
    select m.account, m.currency,
        (coalesce(f.debit_minor, 0) + m.debit_minor)::bigint,
        (coalesce(f.credit_minor, 0) + m.credit_minor)::bigint
    from (
        select a.account, e.currency, sum(a.debit_minor) as debit_minor,
            sum(a.credit_minor) as credit_minor
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, e.amount_minor, 0), (e.credit_account, 0, e.amount_minor)
        ) as a (account, debit_minor, credit_minor)
        where e.ledger_entry_id between p_seal.first_id and p_seal.last_id
        group by a.account, e.currency
    ) as m
    left join lateral (
        select t.debit_minor, t.credit_minor
        from payout.seal_subtotals as t
        where t.account = m.account and t.currency = m.currency and t.seal_id < p_seal.seal_id
        order by t.seal_id desc
        limit 1
    ) as f on true
$$;
comment on function payout.subtotals_of(payout.seals) is
    'Debits and credits, in minor units, of each account that the range of a ledger seal moved, '
    'from the first entry to the last of the range.';
-- end frozen: procedures/seals/subtotals_of.sql

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

-- frozen: sql/views/ledger_balances.sql d6a808779a44
-- ledger_balances: what stands on each account, in minor units.
--
-- Read from sub-totals of what is sealed and the entries that came since.

create or replace view payout_api.ledger_balances as
select b.account, b.currency, b.debit_minor, b.credit_minor, b.balance_minor
from payout_api.balances_as_of('infinity') as b;
comment on view payout_api.ledger_balances is
    'Credit minus debit of every account and currency, in minor units. payable:<payee> is what is '
    'owed and not being sent, in_flight what is being sent, stripe_balance what Stripe has moved.';
grant select on payout_api.ledger_balances to payout_operator, payout_auditor;
-- end frozen: sql/views/ledger_balances.sql

-- frozen: sql/views/trial_balance.sql de61275d9b80
-- trial_balance: the books of each currency, which always add up to zero.
--
-- A currency without any entry but with open transfers is shown too.

create or replace view payout_api.trial_balance as
select
    coalesce(b.currency, o.currency) as currency,
    coalesce(b.debit_minor, 0)::bigint as debit_minor,
    coalesce(b.credit_minor, 0)::bigint as credit_minor,
    coalesce(b.credit_minor - b.debit_minor, 0)::bigint as difference_minor,
    coalesce(b.in_flight_minor, 0)::bigint as in_flight_minor,
    coalesce(o.open_transfers_minor, 0)::bigint as open_transfers_minor
from (
    select l.currency, sum(l.debit_minor) as debit_minor, sum(l.credit_minor) as credit_minor,
        sum(l.balance_minor) filter (where l.account = 'in_flight') as in_flight_minor
    from payout_api.ledger_balances as l
    group by l.currency
) as b
full join (
    select t.currency, sum(t.amount_minor) as open_transfers_minor
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked')
    group by t.currency
) as o on o.currency = b.currency;
comment on view payout_api.trial_balance is
    'Per currency: difference_minor is zero, and in_flight_minor equals open_transfers_minor, the '
    'sum of the transfers that are neither paid, failed nor cancelled. Anything else is a bug.';
grant select on payout_api.trial_balance to payout_operator, payout_auditor;
-- end frozen: sql/views/trial_balance.sql

reset role;
