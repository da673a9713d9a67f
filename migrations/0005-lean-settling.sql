-- 0005-lean-settling: a settlement costs a third of what it did: one path for one line, rules in functions, bells shared
-- depends: 0004-doorbell

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- squawk-ignore-file ban-drop-constraint, changing-column-type, constraint-missing-not-valid
-- Tables of an engine that has just been installed are small: they may be locked and rewritten.

-- Rules that Postgres read anew for each statement move into domains, which it keeps, and into
-- one function a table.
drop trigger _900_schedule_payout_job on payout.settlements;
drop trigger _510_check_start on payout.transfer_states;
drop trigger _511_check_progress on payout.transfer_states;

create domain payout.positive_minor as bigint
    constraint amount_is_positive check (value > 0);
comment on domain payout.positive_minor is 'An amount of money in minor units, above zero.';
create domain payout.settlement_state as text
    constraint settlement_is_pending_or_complete check (value in ('pending', 'complete'));
comment on domain payout.settlement_state is 'pending: editable; complete: frozen and scheduled.';
create domain payout.moment as timestamptz
    constraint moment_is_finite check (isfinite(value));
comment on domain payout.moment is 'A point in time, not infinity.';
create domain payout.metadata as jsonb
    constraint metadata_is_an_object check (jsonb_typeof(value) = 'object');
comment on domain payout.metadata is 'A JSON object.';
create domain payout.source_transaction_id as text
    constraint source_transaction_looks_like_one check (
        value ~ '^[A-Za-z0-9]+_[A-Za-z0-9_]+$' and length(value) <= 255);
comment on domain payout.source_transaction_id is 'Stripe''s id of a charge, such as ch_1.';

alter table payout.settlements
    drop constraint total_is_positive,
    drop constraint settlement_is_pending_or_complete,
    drop constraint pay_after_is_a_moment,
    drop constraint metadata_is_an_object,
    alter column total_minor type payout.positive_minor,
    alter column state type payout.settlement_state,
    alter column pay_after type payout.moment,
    alter column metadata type payout.metadata;
alter table payout.settlement_lines
    drop constraint amount_is_positive,
    drop constraint source_transaction_looks_like_one,
    alter column amount_minor type payout.positive_minor,
    alter column source_transaction type payout.source_transaction_id;
alter table payout.payout_transfers
    drop constraint amount_is_positive,
    drop constraint destination_is_a_stripe_account,
    drop constraint payout_ref_is_derived,
    drop constraint request_says_what_the_row_says;
alter table payout.transfer_states
    drop constraint generation_counts_from_one,
    drop constraint attempt_counts_from_zero,
    drop constraint tries_count_from_zero,
    drop constraint cancelled_was_never_attempted,
    drop constraint only_in_flight_has_a_lease,
    drop constraint in_flight_has_been_sent,
    drop constraint paid_names_its_transfer,
    drop constraint waiting_names_its_next_attempt,
    drop constraint resting_has_no_next_attempt,
    drop constraint parked_and_failed_say_why;
alter table payout.ledger_entries
    drop constraint amount_is_positive,
    drop constraint only_reversals_name_a_reversal,
    drop constraint obligation_is_of_the_first_generation,
    drop constraint accounts_fit_the_kind;

-- What one function writes in one transaction, and nobody can delete, need not be looked for again.
alter table payout.payout_jobs drop constraint payout_jobs_settlement_id_fkey;
alter table payout.payout_transfers
    drop constraint payout_transfers_payout_job_id_fkey,
    drop constraint payout_transfers_payee_id_fkey;
alter table payout.transfer_states drop constraint transfer_states_payout_transfer_id_fkey;
alter table payout.ledger_entries drop constraint ledger_entries_payout_transfer_id_fkey;

-- The id of the bell that waits in the queue for a worker; not called: none does. A sequence,
-- because it is read and set outside of transactions.
create sequence payout.waiting_doorbell;
comment on sequence payout.waiting_doorbell is
    'The queue job that is known to wait for a worker; null (not called) when none is.';

-- frozen: procedures/guards/check_lines_of.sql 51b4b4559a40
-- check_lines_of: whether settlements written by others, or not yet at all, may have these lines.
--
-- A line of a pending settlement writes that row, so that whoever completes it
-- with an older snapshot fails (40001) instead of missing the line. Lines that
-- come before their settlement are looked at once more at commit (lines_ahead).
-- Raises: SP102 the settlement has been scheduled.

create or replace function payout.check_lines_of(p_settlement_ids text[], p_are_new boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_found integer;
    v_has_older boolean;
    v_frozen_id text;
begin
    select count(*)::integer, coalesce(bool_or(l.is_older), false) into v_found, v_has_older
    from (
        select s.state = 'pending' and s.xmin <> pg_current_xact_id()::xid as is_older
        from payout.settlements as s
        where s.settlement_id = any (p_settlement_ids)
        order by s.settlement_id
        for no key update
    ) as l;

    if v_found < cardinality(p_settlement_ids) then
        insert into payout.lines_ahead (settlement_id)
        select i.settlement_id::payout.external_id
        from unnest(p_settlement_ids) as i (settlement_id)
        where not exists (
            select from payout.settlements as s where s.settlement_id = i.settlement_id
        )
        order by i.settlement_id
        on conflict do nothing;
    end if;

    if v_has_older then
        update payout.settlements as s
        set state = s.state
        where s.settlement_id = any (p_settlement_ids)
            and s.state = 'pending'
            and s.xmin <> pg_current_xact_id()::xid;
    end if;

    -- With immediate constraints the very statement that inserts both has scheduled
    -- the settlement by now; it did so with these lines if they add up.
    select j.settlement_id::text into v_frozen_id
    from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = any (p_settlement_ids)
        and (not p_are_new or s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = j.settlement_id
        ))
    limit 1;
    if found then
        perform payout.refuse_late_lines(v_frozen_id);
    end if;
end
$$;
comment on function payout.check_lines_of(text[], boolean) is
    'Refuses changed lines of settlements that have been scheduled (SP102); guards against those '
    'that are being completed meanwhile.';
-- end frozen: procedures/guards/check_lines_of.sql

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

-- frozen: procedures/guards/refuse_row.sql a2c3468e77e0
-- refuse_row: the error of a row that breaks a rule of its table, as a check of that name raises.
--
-- Postgres reads the text of every check anew for each statement; on the tables
-- that a settlement writes, that cost more than the inserts. There one check calls
-- one function that knows all rules of the row by name.
-- Raises: 23514, always.

create or replace function payout.refuse_row(p_table text, p_rule text)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'new row for relation "%" violates check constraint "%"', p_table, p_rule
        using
            errcode = '23514',
            schema = 'payout',
            table = p_table,
            constraint = p_rule;
end
$$;
comment on function payout.refuse_row(text, text) is
    'Raises 23514 for a row of the table that breaks the rule.';
-- end frozen: procedures/guards/refuse_row.sql

-- frozen: procedures/guards/tg_settlement_lines__refuse_frozen.sql ae3e679d5fc3
-- tg_settlement_lines__refuse_frozen: lines are frozen once their settlement is scheduled.
--
-- Not once it is complete: within one transaction the settlement may come
-- before its lines, or after them. New lines of a settlement that this very
-- transaction wrote and has not scheduled need no more than one look.
-- Raises: SP102 the settlement has been scheduled.

create or replace function payout.tg_settlement_lines__refuse_frozen()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    if tg_op <> 'INSERT' or exists (
        select from changed as c
        where not exists (
            select from payout.settlements as s
            where s.settlement_id = c.settlement_id
                and s.xmin = pg_current_xact_id()::xid
                and not exists (
                    select from payout.payout_jobs as j where j.settlement_id = s.settlement_id
                )
        )
    ) then
        perform payout.check_lines_of(
            array(select distinct c.settlement_id::text from changed as c), tg_op = 'INSERT');
    end if;
    return null;
end
$$;
comment on function payout.tg_settlement_lines__refuse_frozen() is
    'Trigger: refuses lines of a settlement that has been scheduled (SP102).';

create or replace trigger _900_refuse_frozen_insert
    after insert on payout.settlement_lines
    referencing new table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();

create or replace trigger _901_refuse_frozen_update_from
    after update on payout.settlement_lines
    referencing old table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _901_refuse_frozen_update_from;

create or replace trigger _902_refuse_frozen_update_to
    after update on payout.settlement_lines
    referencing new table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _902_refuse_frozen_update_to;

create or replace trigger _903_refuse_frozen_delete
    after delete on payout.settlement_lines
    referencing old table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _903_refuse_frozen_delete;
-- end frozen: procedures/guards/tg_settlement_lines__refuse_frozen.sql

-- frozen: procedures/guards/tg_transfer_states__check_progress.sql e3216f2b5039
-- tg_transfer_states__check_progress: attempts and keys only ever count up.
--
-- A row starts as scheduled and is never handed to another transfer. A claim,
-- and nothing else, counts one attempt up. A new key comes only with the move
-- failed -> scheduled, takes the next number, and must have its reason in
-- key_generations. An old key is never sent again because its number never
-- comes back, and neither the time of its first send nor that a send ended
-- unknown is ever forgotten. A paid row does not change at all.
-- No WHEN clauses: Postgres reads their text anew for each statement.
-- Raises: SP103 the change would go back.

create or replace function payout.tg_transfer_states__check_progress()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    if tg_op = 'INSERT' then
        if new.state <> 'scheduled' or new.generation <> 1 or new.attempt <> 0
            or new.first_sent_at is not null then
            v_problem := 'a transfer starts as scheduled, with its first key and no attempt';
        end if;
    elsif new.payout_transfer_id <> old.payout_transfer_id then
        v_problem := 'progress belongs to one transfer';
    elsif new.state = 'in_flight' and old.state <> 'in_flight'
        and new.attempt <> old.attempt + 1 then
        v_problem := 'a claim counts the attempt up by one';
    elsif new.attempt <> old.attempt
        and not (new.state = 'in_flight' and old.state <> 'in_flight') then
        v_problem := 'only a claim counts attempts';
    elsif new.generation <> old.generation
        and not (old.state = 'failed' and new.state = 'scheduled'
            and new.generation = old.generation + 1) then
        v_problem := 'a new key takes the next number and only after a decline';
    elsif old.state = 'failed' and new.state = 'scheduled' and not exists (
        select from payout.key_generations as k
        where k.payout_transfer_id = new.payout_transfer_id
            and k.generation = new.generation
            and new.generation = old.generation + 1
    ) then
        v_problem := 'a new key needs its row in payout.key_generations first';
    elsif new.generation = old.generation and old.first_sent_at is not null
        and new.first_sent_at is distinct from old.first_sent_at then
        v_problem := 'the first send under a key is a fact';
    elsif new.generation = old.generation and old.has_unknown_send and not new.has_unknown_send then
        v_problem := 'a send whose outcome is unknown stays so under its key';
    elsif old.state = 'paid' then
        v_problem := 'what is paid is paid';
    end if;

    if v_problem is not null then
        raise exception 'transfer %: %', new.payout_transfer_id, v_problem
            using
                errcode = 'SP103',
                detail = format(
                    'State %s, generation %s, attempt %s was asked for.',
                    new.state, new.generation, new.attempt),
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_progress() is
    'Trigger: attempt and generation never go back, a new key has its evidence (SP103).';

create or replace trigger _510_check_start
    before insert on payout.transfer_states
    for each row
    execute function payout.tg_transfer_states__check_progress();

create or replace trigger _511_check_progress
    before update on payout.transfer_states
    for each row
    execute function payout.tg_transfer_states__check_progress();
alter table payout.transfer_states enable always trigger _511_check_progress;
-- end frozen: procedures/guards/tg_transfer_states__check_progress.sql

-- frozen: procedures/guards/transfer_fits.sql e27ff793fa55
-- transfer_fits: the rules of a row of payout_transfers.
--
-- The frozen request says nothing else than the row it stands in, and the row's
-- identity follows from the business.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.transfer_fits(p_transfer payout.payout_transfers)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text := case
        when p_transfer.amount_minor <= 0 then 'amount_is_positive'
        when not starts_with(p_transfer.destination, 'acct_') then 'destination_is_a_stripe_account'
        when p_transfer.payout_ref <> payout.payout_ref(
                p_transfer.settlement_id, p_transfer.payee_id, p_transfer.source_transaction)
            then 'payout_ref_is_derived'
        when not coalesce(
                p_transfer.request ->> 'amount' = p_transfer.amount_minor::text
                and p_transfer.request ->> 'currency' = p_transfer.currency
                and p_transfer.request ->> 'destination' = p_transfer.destination
                and p_transfer.request ->> 'source_transaction'
                    is not distinct from p_transfer.source_transaction
                and p_transfer.request #>> '{metadata,payout_ref}' = p_transfer.payout_ref
                and p_transfer.request #>> '{metadata,settlement_id}' = p_transfer.settlement_id
                and p_transfer.request #>> '{metadata,payee_id}' = p_transfer.payee_id,
                false)
            then 'request_says_what_the_row_says'
    end;
begin
    return v_broken is null or payout.refuse_row('payout_transfers', v_broken);
end
$$;
comment on function payout.transfer_fits(payout.payout_transfers) is
    'Check: amount > 0, payout_ref is derived, the request says what the row says.';
-- end frozen: procedures/guards/transfer_fits.sql

-- frozen: procedures/scheduling/create_payout_job.sql 856b4d7e16ed
-- create_payout_job: the payout job of a settlement, with its transfers and their books.
--
-- Called by: whoever has written or locked the settlement's row in this transaction.
-- Safe to repeat: a settlement that has its job keeps it; the unique key decides races.
-- What was made is checked as a whole; only if it is wrong is the reason looked for.
-- Raises: SP305, SP308 header; SP303 total; SP301, SP302 payees; SP304, SP306 amounts.

create or replace function payout.create_payout_job(
    p_settlement payout.settlements, p_lines payout.settlement_lines[]
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_payout_job_id bigint;
    v_made_minor bigint;
begin
    insert into payout.payout_jobs (settlement_id)
    values (p_settlement.settlement_id)
    on conflict do nothing
    returning payout_job_id into v_payout_job_id;

    if not found then
        select j.payout_job_id into strict v_payout_job_id
        from payout.payout_jobs as j
        where j.settlement_id = p_settlement.settlement_id;
        return v_payout_job_id;
    end if;

    if cardinality(p_lines) = 1 then
        v_made_minor := payout.create_transfer(p_settlement, v_payout_job_id, p_lines[1]);
    else
        v_made_minor := payout.create_transfers(p_settlement, v_payout_job_id);
    end if;

    if v_made_minor is distinct from p_settlement.total_minor or p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
        perform payout.refuse_bad_total(p_settlement);
        perform payout.refuse_bad_payees(p_settlement.settlement_id);
        perform payout.refuse_bad_amounts(p_settlement.settlement_id, p_settlement.currency);
    end if;
    return v_payout_job_id;
end
$$;
comment on function payout.create_payout_job(payout.settlements, payout.settlement_lines[]) is
    'Schedules the payouts of a complete settlement whose row this transaction holds; returns the '
    'payout_job_id. Refuses one that cannot be paid out as it stands (SP301 to SP306, SP308).';
-- end frozen: procedures/scheduling/create_payout_job.sql

-- frozen: procedures/scheduling/create_transfer.sql 94ccf429be48
-- create_transfer: the one transfer of a settlement with one line, its progress and its books.
--
-- The common case of create_transfers, without what it needs for many rows: half its cost.

create or replace function payout.create_transfer(
    p_settlement payout.settlements, p_payout_job_id bigint, p_line payout.settlement_lines
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_destination text;
    v_payout_ref text;
    v_request jsonb;
    v_payout_transfer_id bigint;
    v_doorbell_ids bigint[];
begin
    select a.stripe_account_id into v_destination
    from payout.currencies as c
    cross join payout.payee_accounts as a
    where c.currency = p_settlement.currency
        and p_line.amount_minor <= c.largest_amount_minor
        and p_line.amount_minor % c.amount_step = 0
        and a.payee_id = p_line.payee_id
    order by a.payee_account_id desc
    limit 1;
    if not found then
        return 0::bigint;
    end if;

    v_payout_ref := payout.payout_ref(
        p_settlement.settlement_id, p_line.payee_id, p_line.source_transaction);
    v_request := payout.transfer_request(
        v_payout_ref, p_settlement, p_line.payee_id, v_destination, p_line.amount_minor,
        p_line.source_transaction);
    v_doorbell_ids := payout.ring_for_job(p_payout_job_id, 1, p_settlement.pay_after);

    insert into payout.payout_transfers (
        payout_job_id, settlement_id, payee_id, source_transaction, destination, amount_minor,
        currency, payout_ref, request)
    values (
        p_payout_job_id, p_settlement.settlement_id, p_line.payee_id, p_line.source_transaction,
        v_destination, p_line.amount_minor, p_settlement.currency, v_payout_ref, v_request)
    returning payout_transfer_id into v_payout_transfer_id;

    insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
    values (
        v_payout_transfer_id, coalesce(p_settlement.pay_after, now()), v_doorbell_ids[1]);

    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    values
        (v_payout_transfer_id, 'obligation', 1, 'settlement_funds', 'payable:' || p_line.payee_id,
            p_line.amount_minor, p_settlement.currency),
        (v_payout_transfer_id, 'reserve', 1, 'payable:' || p_line.payee_id, 'in_flight',
            p_line.amount_minor, p_settlement.currency);
    return p_line.amount_minor::bigint;
end
$$;
comment on function payout.create_transfer(
    payout.settlements, bigint, payout.settlement_lines
) is
    'Writes the transfer of the only line of a settlement; returns its amount, 0 if it cannot be '
    'paid as it stands.';
-- end frozen: procedures/scheduling/create_transfer.sql

-- dropped: procedures/scheduling/create_transfers.sql
drop function if exists payout.create_transfers(payout.settlements, bigint, bigint[]);
-- end dropped: procedures/scheduling/create_transfers.sql

-- frozen: procedures/scheduling/create_transfers.sql 08591829be26
-- create_transfers: what a scheduled settlement owes, as transfers, progress and books.
--
-- One statement for all payees, so that a settlement of ten thousand costs
-- little more than its rows. What cannot be paid as it stands is left out.

create or replace function payout.create_transfers(
    p_settlement payout.settlements, p_payout_job_id bigint
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_made_minor bigint;
begin
    with owed as materialized (
        select o.*,
            payout.payout_ref(p_settlement.settlement_id, o.payee_id, o.source_transaction)
                as payout_ref
        from payout.owed_transfers(p_settlement) as o
    ), bells as materialized (
        select payout.ring_for_job(
            p_payout_job_id, (select count(*)::integer from owed), p_settlement.pay_after) as ids
    ), transfers as (
        insert into payout.payout_transfers (
            payout_job_id, settlement_id, payee_id, source_transaction, destination,
            amount_minor, currency, payout_ref, request)
        select
            p_payout_job_id, p_settlement.settlement_id, o.payee_id, o.source_transaction,
            o.stripe_account_id, o.amount_minor, p_settlement.currency, o.payout_ref, r.request
        from owed as o
        cross join lateral payout.transfer_request(
            o.payout_ref, p_settlement, o.payee_id, o.stripe_account_id, o.amount_minor,
            o.source_transaction) as r (request)
        returning payout_transfer_id, payee_id, amount_minor, currency
    ), states as (
        -- The bells are shared out evenly; without any the sweep will ring.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, now()),
            b.ids[1 + (row_number() over (order by t.payout_transfer_id) - 1)
                * cardinality(b.ids) / count(*) over ()]
        from transfers as t
        cross join bells as b
    ), entries as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency)
        select
            t.payout_transfer_id, e.kind, 1, e.debit_account, e.credit_account, t.amount_minor,
            t.currency
        from transfers as t
        cross join lateral (values
            ('obligation', 'settlement_funds', 'payable:' || t.payee_id),
            ('reserve', 'payable:' || t.payee_id, 'in_flight')
        ) as e (kind, debit_account, credit_account)
        order by t.payout_transfer_id, e.kind
    )
    select sum(t.amount_minor)::bigint into v_made_minor
    from transfers as t;
    return v_made_minor;
end
$$;
comment on function payout.create_transfers(payout.settlements, bigint) is
    'Writes the transfers of a settlement, their progress rows with their bells, and the books; '
    'returns the sum of their amounts.';
-- end frozen: procedures/scheduling/create_transfers.sql

-- frozen: procedures/scheduling/first_lines.sql 2fefe3d06a41
-- first_lines: two lines of a settlement, or the only one it has.

create or replace function payout.first_lines(p_settlement_id text)
returns payout.settlement_lines[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    return array(
        select l
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement_id
        limit 2);
end
$$;
comment on function payout.first_lines(text) is
    'Enough lines of a settlement to see whether it has exactly one.';
-- end frozen: procedures/scheduling/first_lines.sql

-- frozen: procedures/scheduling/owed_transfers.sql 86343bcbb703
-- owed_transfers: what the lines of a settlement add up to, and where it can be sent.
--
-- Left out is what has no account to go to, and an amount that Stripe does not take in
-- the currency: the sum then differs from the settlement's total.

create or replace function payout.owed_transfers(p_settlement payout.settlements)
returns table (
    payee_id payout.external_id,
    source_transaction text,
    amount_minor bigint,
    stripe_account_id text
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    return query
    select o.payee_id, o.source_transaction, o.amount_minor, a.stripe_account_id
    from (
        -- More than a bigint holds is more than any currency takes.
        select l.payee_id, l.source_transaction::text,
            least(sum(l.amount_minor), 1000000000000000000)::bigint as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ) as o
    join payout.currencies as c on c.currency = p_settlement.currency
        and o.amount_minor <= c.largest_amount_minor
        and o.amount_minor % c.amount_step = 0
    cross join lateral (
        select pa.stripe_account_id
        from payout.payee_accounts as pa
        where pa.payee_id = o.payee_id
        order by pa.payee_account_id desc
        limit 1
    ) as a
    order by o.payee_id, o.source_transaction;
end
$$;
comment on function payout.owed_transfers(payout.settlements) is
    'Payee, source, amount in minor units and account of each transfer that a settlement makes.';
-- end frozen: procedures/scheduling/owed_transfers.sql

-- dropped: procedures/scheduling/read_lines.sql
drop function if exists payout.read_lines(text, jsonb);
-- end dropped: procedures/scheduling/read_lines.sql

-- frozen: procedures/scheduling/read_lines.sql 5b75420babdf
-- read_lines: the lines of a settlement out of the JSON that complete_settlement takes.
--
-- Paths and a loop: for one line and for ten thousand they cost less than a query.
-- Raises: SP309 not an array of such objects, naming the element.

create or replace function payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb)
returns payout.settlement_lines[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lines payout.settlement_lines[] := '{}'::payout.settlement_lines[];
    v_line jsonb;
    v_amount_minor numeric;
begin
    if jsonb_typeof(p_lines) is distinct from 'array'
        or jsonb_array_length(p_lines) <> 1
        or coalesce(p_lines @? '$[*].keyvalue() ? (!(
            @.key == "line_id" && @.value.type() == "string"
            || @.key == "payee_id" && @.value.type() == "string"
            || @.key == "amount_minor" && @.value.type() == "number"
                && @.value.abs() <= 999999999999999999
            || @.key == "source_transaction"
                && (@.value.type() == "string" || @.value == null)))', true) then
        perform payout.refuse_bad_lines(p_lines);
    end if;
    for i in 0 .. jsonb_array_length(p_lines) - 1 loop
        v_line := p_lines -> i;
        v_amount_minor := (v_line ->> 'amount_minor')::numeric;
        if v_line ->> 'line_id' is null or v_line ->> 'payee_id' is null
            or v_amount_minor is null or scale(v_amount_minor) > 0 then
            perform payout.refuse_bad_lines(p_lines);
        end if;
        v_lines := v_lines || row(
            p_settlement_id, v_line ->> 'line_id', v_line ->> 'payee_id',
            v_amount_minor, v_line ->> 'source_transaction'
        )::payout.settlement_lines;
    end loop;
    return v_lines;
end
$$;
comment on function payout.read_lines(payout.external_id, jsonb) is
    'The lines of a settlement given as JSON, or an error that names the wrong one (SP309).';
-- end frozen: procedures/scheduling/read_lines.sql

-- frozen: procedures/scheduling/refuse_bad_lines.sql e0ea5bde2759
-- refuse_bad_lines: name the first of the lines given as JSON that cannot be read.
--
-- Raises: SP309 not an array of such objects, naming the element.

create or replace function payout.refuse_bad_lines(p_lines jsonb)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    if p_lines is null or jsonb_typeof(p_lines) <> 'array' or p_lines = '[]' then
        v_problem := 'p_lines is not an array with at least one line';
    else
        select format('line %s of p_lines %s', e.position, c.problem) into v_problem
        from (
            select e.line, e.position,
                row_number() over (partition by e.line ->> 'line_id' order by e.position) as nth
            from jsonb_array_elements(p_lines) with ordinality as e (line, position)
        ) as e
        cross join lateral (select case
            when jsonb_typeof(e.line) <> 'object' then 'is not an object'
            when jsonb_typeof(e.line -> 'line_id') is distinct from 'string'
                then 'has no text line_id'
            when jsonb_typeof(e.line -> 'payee_id') is distinct from 'string'
                then 'has no text payee_id'
            when jsonb_typeof(e.line -> 'amount_minor') is distinct from 'number'
                or e.line ->> 'amount_minor' !~ '^-?[0-9]{1,18}$'
                then 'has no whole number amount_minor'
            when coalesce(jsonb_typeof(e.line -> 'source_transaction'), 'null')
                not in ('string', 'null')
                then 'has a source_transaction that is not text'
            when e.line - array['line_id', 'payee_id', 'amount_minor', 'source_transaction'] <> '{}'
                then 'has a key that is none of line_id, payee_id, amount_minor, source_transaction'
            when e.nth > 1 then format('repeats the line_id %s', e.line ->> 'line_id')
        end) as c (problem)
        where c.problem is not null
        order by e.position
        limit 1;
    end if;

    if v_problem is not null then
        raise exception '%', v_problem
            using
                errcode = 'SP309',
                hint = 'A line is {"line_id":"1","payee_id":"seller_1","amount_minor":700}.';
    end if;
end
$$;
comment on function payout.refuse_bad_lines(jsonb) is
    'Refuses lines given as JSON that cannot be read, naming the first (SP309).';
-- end frozen: procedures/scheduling/refuse_bad_lines.sql

-- frozen: procedures/scheduling/schedule_payout_job.sql c090852894dc
-- schedule_payout_job: the one payout job of a complete settlement, by its id.
--
-- Called by: complete_settlement for what it finds there already, and by the owner.
-- Safe to repeat: a settlement that has its job keeps it, nothing is written.
-- Locks: the settlement's row, so that nothing is added to it meanwhile.
-- Raises: SP310 unknown settlement; SP202 still pending; what create_payout_job raises.

create or replace function payout.schedule_payout_job(p_settlement_id text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    if not found then
        raise exception 'settlement % does not exist', p_settlement_id
            using errcode = 'SP310';
    end if;
    if v_settlement.state <> 'complete' then
        raise exception 'settlement % is still pending', p_settlement_id
            using
                errcode = 'SP202',
                hint = 'Set its state to complete; that schedules its payouts.';
    end if;
    return payout.create_payout_job(v_settlement, payout.first_lines(p_settlement_id));
end
$$;
comment on function payout.schedule_payout_job(text) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable.';
-- end frozen: procedures/scheduling/schedule_payout_job.sql

-- dropped: procedures/scheduling/settlement_difference.sql
drop function if exists payout.settlement_difference(payout.settlements, text, payout.settlement_lines[], timestamptz, jsonb);
-- end dropped: procedures/scheduling/settlement_difference.sql

-- frozen: procedures/scheduling/settlement_difference.sql e65c6826fd94
-- settlement_difference: in what a stored settlement differs from one that is told again.

create or replace function payout.settlement_difference(
    p_settlement payout.settlements,
    p_currency text,
    p_lines jsonb,
    p_pay_after timestamptz,
    p_metadata jsonb
)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(', ',
        case when p_settlement.currency <> p_currency then 'currency' end,
        case when p_settlement.pay_after is distinct from p_pay_after then 'pay_after' end,
        case when p_settlement.metadata <> p_metadata then 'metadata' end,
        (
            select 'line ' || coalesce(o.line_id, n.line_id)
            from (
                select l.line_id, l.payee_id, l.amount_minor, l.source_transaction
                from payout.settlement_lines as l
                where l.settlement_id = p_settlement.settlement_id
            ) as o
            full join jsonb_to_recordset(p_lines) as n (
                line_id text, payee_id text, amount_minor bigint, source_transaction text
            ) on n.line_id = o.line_id
            where (o.payee_id, o.amount_minor, o.source_transaction)
                is distinct from (n.payee_id, n.amount_minor, n.source_transaction)
            order by coalesce(o.line_id, n.line_id)
            limit 1
        ))
$$;
comment on function payout.settlement_difference(
    payout.settlements, text, jsonb, timestamptz, jsonb
) is 'Names the parts that differ, for lines the first one; empty when nothing differs.';
-- end frozen: procedures/scheduling/settlement_difference.sql

-- frozen: procedures/scheduling/tg_settlements__schedule_payout_job.sql 6a3092534d41
-- tg_settlements__schedule_payout_job: a settlement that commits as complete has its payouts.
--
-- Deferred to the commit, so that settlement and lines may come in any order.
-- It stays ORIGIN, unlike the guards: a replica or a restore must not pay again.
-- Definer: the application may write settlements, but no jobs or transfers.
-- Raises: what create_payout_job raises; the commit then fails as a whole.

create or replace function payout.tg_settlements__schedule_payout_job()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The row is as the event shows it, and held: a complete settlement is frozen.
    if new.state = 'complete' and not exists (
        select from payout.payout_jobs as j where j.settlement_id = new.settlement_id
    ) then
        perform payout.create_payout_job(new, payout.first_lines(new.settlement_id));
    end if;
    return null;
end
$$;
comment on function payout.tg_settlements__schedule_payout_job() is
    'Trigger: schedules the payouts of a settlement when it commits as complete.';

drop trigger if exists _900_schedule_payout_job on payout.settlements;
create constraint trigger _900_schedule_payout_job
    after insert or update on payout.settlements
    deferrable initially deferred
    for each row
    execute function payout.tg_settlements__schedule_payout_job();
-- end frozen: procedures/scheduling/tg_settlements__schedule_payout_job.sql

-- frozen: procedures/scheduling/total_minor.sql 9c93824b7c38
-- total_minor: what lines add up to.

create or replace function payout.total_minor(p_lines payout.settlement_lines[])
returns numeric
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_line payout.settlement_lines;
    v_total_minor numeric := 0::numeric;
begin
    foreach v_line in array p_lines loop
        v_total_minor := v_total_minor + v_line.amount_minor;
    end loop;
    return v_total_minor;
end
$$;
comment on function payout.total_minor(payout.settlement_lines[]) is
    'Sum of amount_minor over the lines, in minor units.';
-- end frozen: procedures/scheduling/total_minor.sql

-- frozen: procedures/scheduling/transfer_request.sql 8c53db4da944
-- transfer_request: the parameters of POST /v1/transfers for one transfer.
--
-- Nothing volatile is in it: a retry must repeat it to the letter. Stripe sets
-- transfer_group itself when source_transaction is given, so it is left out then.
-- jsonb_object takes texts only, and costs a fraction of jsonb_build_object.

create or replace function payout.transfer_request(
    p_payout_ref text,
    p_settlement payout.settlements,
    p_payee_id text,
    p_destination text,
    p_amount_minor bigint,
    p_source_transaction text
)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_metadata jsonb := jsonb_object(array[
        'payout_ref', p_payout_ref,
        'settlement_id', p_settlement.settlement_id,
        'payee_id', p_payee_id]);
begin
    if p_settlement.metadata <> '{}' then
        v_metadata := p_settlement.metadata || v_metadata;
    end if;
    return jsonb_object(array[
        'currency', p_settlement.currency,
        'destination', p_destination,
        case when p_source_transaction is null then 'transfer_group' else 'source_transaction' end,
        coalesce(p_source_transaction, p_payout_ref)
    ]) || jsonb_build_object('amount', p_amount_minor, 'metadata', v_metadata);
end
$$;
comment on function payout.transfer_request(
    text, payout.settlements, text, text, bigint, text
) is 'The request that pays one payee, as it is frozen in payout_transfers and sent to Stripe.';
-- end frozen: procedures/scheduling/transfer_request.sql

-- frozen: procedures/ledger/entry_fits.sql c374298ba6bf
-- entry_fits: the rules of a row of ledger_entries.
--
-- The movements that exist are a list: kind, debit, credit, and whether a reversal is named.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.entry_fits(p_entry payout.ledger_entries)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text := case
        when p_entry.amount_minor <= 0 then 'amount_is_positive'
        when p_entry.kind = 'obligation' and p_entry.generation <> 1
            then 'obligation_is_of_the_first_generation'
        when concat_ws(' ',
            p_entry.kind,
            case when p_entry.debit_account like 'payable:_%' then 'payable'
                else nullif(p_entry.debit_account, 'payable') end,
            case when p_entry.credit_account like 'payable:_%' then 'payable'
                else nullif(p_entry.credit_account, 'payable') end,
            case when p_entry.stripe_reversal_id is not null then 'with id' end
        ) not in (
            'obligation settlement_funds payable',
            'reserve payable in_flight',
            'paid in_flight stripe_balance',
            'release in_flight payable',
            'reversal stripe_balance payable with id'
        ) then 'movement_exists'
    end;
begin
    return v_broken is null or payout.refuse_row('ledger_entries', v_broken);
end
$$;
comment on function payout.entry_fits(payout.ledger_entries) is
    'Check: amount > 0, the accounts are those of the kind, only reversals name a reversal.';
-- end frozen: procedures/ledger/entry_fits.sql

-- frozen: procedures/api/app/complete_settlement.sql 5c7f96e0b9f9
-- complete_settlement: record a whole settlement and schedule its payouts, in one call.
--
-- Called by: the application, or a trigger on a settlement table it already has.
-- Safe to repeat: the same content again returns the same job.
-- Locks: the settlement's row; of concurrent calls one writes, the others wait and compare.
-- Raises: SP307 other content than before; SP309 malformed lines; SP301 to SP308.

create or replace function payout_api.complete_settlement(
    p_settlement_id text,
    p_currency text,
    p_lines jsonb,
    p_pay_after timestamptz default null,
    p_metadata jsonb default '{}'
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements := row(
        p_settlement_id::payout.external_id, p_currency::payout.currency_code,
        null::payout.positive_minor, 'complete'::payout.settlement_state,
        p_pay_after::payout.moment, p_metadata::payout.metadata, now());
    v_lines payout.settlement_lines[];
    v_difference text;
begin
    v_lines := payout.read_lines(v_settlement.settlement_id, p_lines);
    v_settlement.total_minor := payout.total_minor(v_lines);

    -- One statement: the caller may have made all constraints immediate.
    with settlement as (
        insert into payout.settlements
        values (v_settlement.*)
        on conflict (settlement_id) do nothing
        returning settlement_id
    )
    insert into payout.settlement_lines
    select l.*
    from settlement as s
    cross join unnest(v_lines) as l;

    if found then
        return payout.create_payout_job(v_settlement, v_lines);
    end if;

    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    v_difference := payout.settlement_difference(
        v_settlement, p_currency, p_lines, p_pay_after, p_metadata);
    if v_difference <> '' then
        raise exception 'settlement % exists with other content: %', p_settlement_id, v_difference
            using
                errcode = 'SP307',
                detail = format('The settlement is %s.', v_settlement.state),
                hint = 'Repeat a settlement unchanged, or give another one its own id.';
    end if;

    update payout.settlements as s
    set state = 'complete'
    where s.settlement_id = p_settlement_id
        and s.state = 'pending';

    return payout.schedule_payout_job(p_settlement_id);
end
$$;
comment on function payout_api.complete_settlement(text, text, jsonb, timestamptz, jsonb) is
    'Records a settlement with its lines and schedules its payouts; returns the payout_job_id. '
    'Safe to repeat with the same content; amounts are in minor units of the currency.';
revoke execute on function payout_api.complete_settlement(
    text, text, jsonb, timestamptz, jsonb
) from public;
grant execute on function payout_api.complete_settlement(
    text, text, jsonb, timestamptz, jsonb
) to payout_app;
-- end frozen: procedures/api/app/complete_settlement.sql

-- frozen: procedures/api/operator/doctor.sql ebc7772f24bc
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
$$;
comment on function payout_api.doctor() is
    'Checks server, guards, queue and books; hint says what to do where is_ok is false.';
revoke execute on function payout_api.doctor() from public;
grant execute on function payout_api.doctor() to payout_worker, payout_operator, payout_auditor;
-- end frozen: procedures/api/operator/doctor.sql

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

-- frozen: procedures/doctor/check_references.sql 8d56f7fd518d
-- check_references: whether what settlements made still refers to what is there.
--
-- The rows that one settlement makes, one out of the other, have no foreign keys:
-- a key would be looked up for each, in the application's transaction. Nobody can
-- delete them; whoever switched the guards off is found out here.

create or replace function payout.check_references()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every row refers to what is there', count(*) = 0,
        coalesce(string_agg(distinct o.name, ', '), 'jobs, transfers, progress and entries'),
        'the guards were off while somebody changed rows: compare with a backup'
    from (
        select 'payout_jobs' from payout.payout_jobs as j
        where not exists (
            select from payout.settlements as s where s.settlement_id = j.settlement_id
        )
        union all
        select 'payout_transfers' from payout.payout_transfers as t
        where not exists (
            select from payout.payout_jobs as j where j.payout_job_id = t.payout_job_id
        ) or not exists (
            select from payout.payees as p where p.payee_id = t.payee_id
        ) or not exists (
            select from payout.transfer_states as s
            where s.payout_transfer_id = t.payout_transfer_id
        )
        union all
        select 'transfer_states' from payout.transfer_states as s
        where not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = s.payout_transfer_id
        )
        union all
        select 'ledger_entries' from payout.ledger_entries as e
        where not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = e.payout_transfer_id
        )
    ) as o (name)
$$;
comment on function payout.check_references() is
    'Part of payout_api.doctor(): no job, transfer, progress row or ledger entry is an orphan.';
-- end frozen: procedures/doctor/check_references.sql

-- frozen: procedures/doorbell/hear_doorbell.sql 290150acde27
-- hear_doorbell: from now on no bell is waiting; whoever settles next rings again.
--
-- Called by: claim_transfers, before it looks for what is due. A settlement that
-- let the waiting bell serve and commits after that look is found by the pump's
-- second look or by the sweep.

create or replace function payout.hear_doorbell()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_sequence_last_value('payout.waiting_doorbell'::regclass) is not null then
        perform setval('payout.waiting_doorbell', 1, false);
    end if;
end
$$;
comment on function payout.hear_doorbell() is
    'Forgets which bell waits (payout.waiting_doorbell); not undone by a rollback.';
-- end frozen: procedures/doorbell/hear_doorbell.sql

-- frozen: procedures/doorbell/is_waiting.sql fa561d87298e
-- is_waiting: whether a bell is in the queue for everybody to see and nobody has fetched it.
--
-- A bell of a transaction that was rolled back, or is still running, is not. A queue
-- that was dropped, or that the engine may not read, holds none.

create or replace function payout.is_waiting(p_doorbell_id bigint)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    if to_regnamespace('procrastinate') is null
        or not has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        or to_regclass('procrastinate.procrastinate_jobs') is null
        or not has_table_privilege('procrastinate.procrastinate_jobs', 'select') then
        return false;
    end if;
    return exists (
        select from procrastinate.procrastinate_jobs as q
        where q.id = p_doorbell_id
            and q.status = 'todo'
            and q.task_name = 'payout.execute'
    );
end
$$;
comment on function payout.is_waiting(bigint) is
    'True when the queue job of this id is a bell of ours that no worker has fetched yet.';
-- end frozen: procedures/doorbell/is_waiting.sql

-- frozen: procedures/doorbell/ring_for_job.sql 84b78709f2cf
-- ring_for_job: ring for the transfers of a job that is being scheduled.
--
-- A bell that waits in the queue already is enough for few transfers: whoever
-- answers it claims whatever is due. More of them ring once for every so many.
-- Nothing rings before pay_after: the queue's fetch would walk past it each time.

create or replace function payout.ring_for_job(
    p_payout_job_id bigint, p_transfers integer, p_pay_after timestamptz
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_waiting_id bigint := pg_sequence_last_value('payout.waiting_doorbell'::regclass);
    v_times integer := 1;
    v_doorbell_ids bigint[];
begin
    if p_pay_after > now() then
        return '{}'::bigint[];
    end if;
    if p_transfers > 1 then
        v_times := (
            select (p_transfers + e.transfers_per_doorbell - 1) / e.transfers_per_doorbell
            from payout.engine_settings as e);
    end if;
    if v_times = 1 and v_waiting_id is not null and payout.is_waiting(v_waiting_id) then
        return array[v_waiting_id];
    end if;

    v_doorbell_ids := payout.defer_job(p_payout_job_id, v_times);
    if cardinality(v_doorbell_ids) > 0 then
        perform setval('payout.waiting_doorbell', v_doorbell_ids[1]);
    end if;
    return v_doorbell_ids;
end
$$;
comment on function payout.ring_for_job(bigint, integer, timestamptz) is
    'Rings for a new payout job, once for each transfers_per_doorbell (of engine_settings) '
    'transfers, or lets a bell serve that waits already; none before pay_after. Returns the bells.';
-- end frozen: procedures/doorbell/ring_for_job.sql

-- dropped: procedures/scheduling/check_settlement.sql
drop function if exists payout.check_settlement(payout.settlements);
-- end dropped: procedures/scheduling/check_settlement.sql

-- dropped: procedures/ledger/accounts_fit.sql
drop function if exists payout.accounts_fit(text, text, text);
-- end dropped: procedures/ledger/accounts_fit.sql

-- dropped: procedures/scheduling/request_fits.sql
drop function if exists payout.request_fits(jsonb, bigint, text, text, text, text, text, text);
-- end dropped: procedures/scheduling/request_fits.sql

alter table payout.payout_transfers add constraint transfer_fits
    check (payout.transfer_fits(payout_transfers)) not valid;
alter table payout.payout_transfers validate constraint transfer_fits;
alter table payout.transfer_states add constraint progress_fits
    check (payout.progress_fits(transfer_states)) not valid;
alter table payout.transfer_states validate constraint progress_fits;
alter table payout.ledger_entries add constraint entry_fits
    check (payout.entry_fits(ledger_entries)) not valid;
alter table payout.ledger_entries validate constraint entry_fits;

reset role;
