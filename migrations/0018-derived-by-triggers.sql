-- 0018-derived-by-triggers: Let triggers keep the rules of what a settlement writes, and derive the request: Postgres reads the text of checks anew for each statement
-- depends: 0017-none-left-out

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- In the order in which a settlement takes them: it waits, or is waited for, and none is broken off.
lock table payout.settlements, payout.payout_jobs, payout.payout_transfers,
    payout.transfer_states, payout.ledger_entries in access exclusive mode;

-- Triggers keep these rules from here on. Dropping the expression keeps the digests.
-- squawk-ignore ban-drop-constraint
alter table payout.payout_transfers drop constraint transfer_fits;
-- squawk-ignore ban-drop-constraint
alter table payout.transfer_states drop constraint progress_fits;
-- squawk-ignore ban-drop-constraint
alter table payout.ledger_entries drop constraint entry_fits;
-- squawk-ignore ban-drop-generated-expression
alter table payout.payout_transfers alter column request_sha256 drop expression;

-- now() is a function, looked up and checked for each statement; this is none, and the same time.
alter table payout.settlements alter column created_at set default current_timestamp;
alter table payout.payout_jobs alter column created_at set default current_timestamp;
alter table payout.payout_transfers alter column created_at set default current_timestamp;
alter table payout.transfer_states alter column changed_at set default current_timestamp;
alter table payout.ledger_entries alter column created_at set default current_timestamp;

-- A transfer that failed stays so: the advice says what comes after the account.
update payout.stripe_error_rules
set advice = replace(
    advice, 'register the payee''s present account.',
    'register the payee''s present account and settle the amount under another settlement_id.')
where advice like '%register the payee''s present account.';

-- frozen: procedures/guards/id_fits.sql 95bcee745453
-- id_fits: the rules of an id that is not plainly short, printable ASCII.
--
-- Called by: the check of the domain external_id, hence also by the application, which
-- writes such ids itself. A check of the domain for each rule cost twice as much.
-- Raises: 23514 with the name of the first rule that is broken, as the domain would.

create or replace function payout.id_fits(p_id text)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- E'': a session may read plain literals in the old way.
    v_broken text := case
        when p_id ~ E'^[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]'
            or p_id ~ E'[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]$'
            then 'id_has_no_blank_at_its_ends'
        when p_id ~ E'[\\x01-\\x1f\\x7f-\\x9f]' then 'id_has_no_control_characters'
        -- Soft hyphen, byte order mark and others that nobody sees; not the two joiners,
        -- which some scripts are written with.
        when p_id ~ E'[\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e'
                '\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]'
            then 'id_has_no_invisible_characters'
        when length(p_id) not between 1 and 200 then 'id_is_1_to_200_characters'
        when p_id is not nfc normalized then 'id_is_in_unicode_normal_form_c'
    end;
begin
    if v_broken is not null then
        raise exception 'value for domain payout.external_id violates check constraint "%"',
            v_broken
            using
                errcode = '23514',
                detail = format('The id is %L.', left(p_id, 60)),
                schema = 'payout',
                datatype = 'external_id',
                constraint = v_broken;
    end if;
    return true;
end
$$;
comment on function payout.id_fits(text) is
    'Check: 1 to 200 characters, no blank at its ends, no control or invisible characters, '
    'normal form C.';
revoke execute on function payout.id_fits(text) from public;
grant execute on function payout.id_fits(text) to payout_app;
-- end frozen: procedures/guards/id_fits.sql

-- frozen: procedures/guards/progress_problem.sql 1a4242860155
-- progress_problem: the rule that a row of transfer_states breaks.
--
-- Called by: the triggers that refuse such a row, and the doctor, who finds those that
-- were written while the triggers were off.

create or replace function payout.progress_problem(p_state payout.transfer_states)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
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
end
$$;
comment on function payout.progress_problem(payout.transfer_states) is
    'The first rule about counters, lease, next steps, Stripe''s id and reason that a row breaks, '
    'or null.';
-- end frozen: procedures/guards/progress_problem.sql

-- frozen: procedures/guards/refuse_bad_row.sql a070763b6e0a
-- refuse_bad_row: the error that a check of that name would raise for a row.
--
-- Postgres reads the text of every check anew for each statement; on the tables that a
-- settlement writes, that cost more than the inserts. There a trigger knows all rules of
-- the row by name.
-- Raises: 23514, always.

create or replace function payout.refuse_bad_row(p_table text, p_rule text)
returns void
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
comment on function payout.refuse_bad_row(text, text) is
    'Raises 23514 for a row of the table that breaks the rule.';
-- end frozen: procedures/guards/refuse_bad_row.sql

-- frozen: procedures/guards/tg_settlement_lines__refuse_frozen.sql 6d8189164676
-- tg_settlement_lines__refuse_frozen: lines are frozen once their settlement is scheduled.
--
-- Not once it is complete: within one transaction the settlement may come
-- before its lines, or after them. New lines of a settlement that this very
-- transaction wrote and has not scheduled need no more than one look. On insert it is
-- ORIGIN: a copy loads lines after their job.
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
    if tg_op = 'INSERT' then
        -- `offset 0`: two look-ups for each line, never a whole table for all.
        perform from changed as c
        where not exists (
            select from payout.settlements as s
            where s.settlement_id = c.settlement_id
                and s.xmin = pg_current_xact_id()::xid
            offset 0
        ) or exists (
            select from payout.payout_jobs as j
            where j.settlement_id = c.settlement_id
            offset 0
        )
        limit 1;
        if not found then
            return null;
        end if;
    end if;
    perform payout.check_lines_of(
        array(select distinct c.settlement_id::text from changed as c), tg_op = 'INSERT');
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

-- dropped: procedures/guards/tg_transfer_states__check_progress.sql
drop trigger if exists _510_check_start on payout.transfer_states;
-- end dropped: procedures/guards/tg_transfer_states__check_progress.sql

-- frozen: procedures/guards/tg_transfer_states__check_progress.sql f2bb55acb880
-- tg_transfer_states__check_progress: attempts and keys only ever count up.
--
-- A row is never handed to another transfer. A claim, and nothing else, counts
-- one attempt up. A new key comes only with the move
-- failed -> scheduled, takes the next number, and must have its reason in
-- key_generations. An old key is never sent again because its number never
-- comes back, and neither the time of its first send nor that a send ended
-- unknown is ever forgotten. A paid row does not change at all.
-- No WHEN clauses: Postgres reads their text anew for each statement.
-- Raises: SP103 the change would go back; 23514 the name of a rule that is broken.

create or replace function payout.tg_transfer_states__check_progress()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
    v_broken text;
begin
    if new.payout_transfer_id <> old.payout_transfer_id then
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
    v_broken := payout.progress_problem(new);
    if v_broken is not null then
        perform payout.refuse_bad_row('transfer_states', v_broken);
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_progress() is
    'Trigger: attempt and generation never go back, a new key has its evidence (SP103); the row '
    'keeps its rules (23514).';

create or replace trigger _511_check_progress
    before update on payout.transfer_states
    for each row
    execute function payout.tg_transfer_states__check_progress();
alter table payout.transfer_states enable always trigger _511_check_progress;
-- end frozen: procedures/guards/tg_transfer_states__check_progress.sql

-- frozen: procedures/guards/tg_transfer_states__check_start.sql 349f8ab1832f
-- tg_transfer_states__check_start: a transfer starts as scheduled, with its first key.
--
-- What a replica role copies may have come further; the rules of the row hold for it too.
-- Raises: SP103 another start; 23514 the name of a rule that is broken.

create or replace function payout.tg_transfer_states__check_start()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text;
begin
    -- All that a settlement writes.
    if new.state = 'scheduled' and new.generation = 1 and new.attempt = 0 and new.tries = 0
        and new.first_sent_at is null and new.next_attempt_at is not null
        and new.lease_until is null and new.next_lookup_at is null
        and new.stripe_transfer_id is null then
        return new;
    end if;
    if (new.state <> 'scheduled' or new.generation <> 1 or new.attempt <> 0
        or new.first_sent_at is not null)
        and current_setting('session_replication_role') <> 'replica' then
        raise exception
            'transfer %: a transfer starts as scheduled, with its first key and no attempt',
            new.payout_transfer_id
            using
                errcode = 'SP103',
                detail = format(
                    'State %s, generation %s, attempt %s was asked for.',
                    new.state, new.generation, new.attempt),
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    v_broken := payout.progress_problem(new);
    if v_broken is not null then
        perform payout.refuse_bad_row('transfer_states', v_broken);
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_start() is
    'Trigger: a transfer starts as scheduled, with its first key and no attempt (SP103), and keeps '
    'the rules of its row (23514).';

create or replace trigger _500_check_start
    before insert on payout.transfer_states
    for each row
    execute function payout.tg_transfer_states__check_start();
alter table payout.transfer_states enable always trigger _500_check_start;
-- end frozen: procedures/guards/tg_transfer_states__check_start.sql

-- dropped: procedures/scheduling/create_payout_job.sql
drop function if exists payout.create_payout_job(payout.settlements, payout.settlement_lines[]);
-- end dropped: procedures/scheduling/create_payout_job.sql

-- frozen: procedures/scheduling/create_payout_job.sql 20914bfd7679
-- create_payout_job: the payout job of a settlement, with its transfers and their books.
--
-- Called by: whoever has written or locked the settlement's row in this transaction.
-- Safe to repeat: a settlement that has its job keeps it; the unique key decides races.
-- What was made is checked as a whole; only if it is wrong is the reason looked for.
-- Raises: what refuse_bad_settlement raises.

create or replace function payout.create_payout_job(p_settlement payout.settlements)
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

    -- First: a reserved key in the metadata would be found wrong in the requests.
    if p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
    end if;
    v_made_minor := payout.create_transfers(p_settlement, v_payout_job_id);
    if v_made_minor is distinct from p_settlement.total_minor then
        perform payout.refuse_bad_settlement(p_settlement, v_made_minor);
    end if;
    return v_payout_job_id;
end
$$;
comment on function payout.create_payout_job(payout.settlements) is
    'Schedules the payouts of a complete settlement whose row this transaction holds; returns the '
    'payout_job_id. Refuses one that cannot be paid out as it stands (SP301 to SP306, SP308) or '
    'has changed meanwhile (SP402).';
-- end frozen: procedures/scheduling/create_payout_job.sql

-- frozen: procedures/scheduling/create_single_payout.sql 1b94efb29e7e
-- create_single_payout: the payout job of a settlement with one line, its transfer and books.
--
-- The common case of create_payout_job, without what many lines or a second time need:
-- half its cost; a test compares what the two write. Sequential scans are off where it
-- is called.
-- Called by: whoever has just written the settlement, which has no job yet.
-- Raises: what refuse_bad_header and refuse_bad_settlement raise.

create or replace function payout.create_single_payout(
    p_settlement payout.settlements, p_line payout.settlement_lines
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_destination text;
    v_payout_job_id bigint := nextval('payout.payout_jobs_payout_job_id_seq'::regclass);
    v_transfer_id bigint := nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass);
    v_doorbell_id bigint := pg_sequence_last_value('payout.seen_doorbell'::regclass);
begin
    select (
        select a.stripe_account_id
        from payout.payee_accounts as a
        where a.payee_id = p_line.payee_id
        order by a.payee_account_id desc
        limit 1
    ) into v_destination
    from payout.currencies as c
    where c.currency = p_settlement.currency
        and p_line.amount_minor <= c.largest_amount_minor
        and p_line.amount_minor % c.amount_step = 0;

    if p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
    end if;
    if v_destination is null or p_line.amount_minor <> p_settlement.total_minor then
        perform payout.refuse_bad_settlement(
            p_settlement, case when v_destination is not null then p_line.amount_minor::bigint end);
    end if;

    -- The bell that was seen to wait serves nearly every settlement.
    if v_doorbell_id is null or p_settlement.pay_after is not null then
        v_doorbell_id := (payout.ring_for_job(v_payout_job_id, 1, p_settlement.pay_after))[1];
    end if;

    -- One statement: each costs its start and end once more.
    with job as (
        insert into payout.payout_jobs (payout_job_id, settlement_id) overriding system value
        values (v_payout_job_id, p_settlement.settlement_id)
    ), transfer as (
        insert into payout.payout_transfers (
            payout_transfer_id, payout_job_id, settlement_id, payee_id, source_transaction,
            destination, amount_minor, currency, request)
        overriding system value
        values (
            v_transfer_id, v_payout_job_id, p_settlement.settlement_id, p_line.payee_id,
            p_line.source_transaction, v_destination, p_line.amount_minor, p_settlement.currency,
            case when p_settlement.metadata <> '{}'
                then jsonb_build_object('metadata', p_settlement.metadata)
            end)
    ), progress as (
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        values (v_transfer_id, coalesce(p_settlement.pay_after, current_timestamp), v_doorbell_id)
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    values
        (v_transfer_id, 'obligation', 1, 'settlement_funds', 'payable:' || p_line.payee_id,
            p_line.amount_minor, p_settlement.currency),
        (v_transfer_id, 'reserve', 1, 'payable:' || p_line.payee_id, 'in_flight',
            p_line.amount_minor, p_settlement.currency);
    return v_payout_job_id;
end
$$;
comment on function payout.create_single_payout(payout.settlements, payout.settlement_lines) is
    'Schedules the payout of a new settlement by its only line; returns the payout_job_id. Refuses '
    'what create_payout_job refuses.';
-- end frozen: procedures/scheduling/create_single_payout.sql

-- frozen: procedures/scheduling/create_transfers.sql 96cdbafd2d03
-- create_transfers: what a scheduled settlement owes, as transfers, progress and books.
--
-- One statement for all payees, so that a settlement of ten thousand costs
-- little more than its rows. What cannot be paid as it stands is left out; lines and
-- transfers are added up in one look, since what a later one finds may be others.

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
        select * from payout.owed_transfers(p_settlement)
    ), bells as materialized (
        select payout.ring_for_job(
            p_payout_job_id, (select count(*)::integer from owed), p_settlement.pay_after) as ids
    ), transfers as (
        insert into payout.payout_transfers (
            payout_job_id, settlement_id, payee_id, source_transaction, destination,
            amount_minor, currency, request)
        select
            p_payout_job_id, p_settlement.settlement_id, o.payee_id, o.source_transaction,
            o.stripe_account_id, o.amount_minor, p_settlement.currency,
            case when p_settlement.metadata <> '{}'
                then jsonb_build_object('metadata', p_settlement.metadata)
            end
        from owed as o
        returning payout_transfer_id, payee_id, amount_minor, currency
    ), states as (
        -- The bells are shared out evenly; without any the sweep will ring.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, current_timestamp),
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
    from transfers as t
    having sum(t.amount_minor) = (
        select sum(l.amount_minor)
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id);
    return v_made_minor;
end
$$;
comment on function payout.create_transfers(payout.settlements, bigint) is
    'Writes the transfers of a settlement, their progress rows with their bells, and the books; '
    'returns the sum of their amounts, null unless that is what the lines add up to.';
-- end frozen: procedures/scheduling/create_transfers.sql

-- frozen: procedures/scheduling/payout_ref.sql 0e03f8c0d3f4
-- payout_ref: the business identity of one transfer.
--
-- A hash, so that it is short and shows nobody's name, over texts that carry
-- their lengths, so that no two identities are written alike. Never a serial:
-- a promoted standby hands out serials again.

create or replace function payout.payout_ref(
    p_settlement_id text, p_payee_id text, p_source_transaction text
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return 'payout_' || left(encode(sha256(convert_to(
        format('%s:%s,%s:%s,%s',
            octet_length(p_settlement_id), p_settlement_id,
            octet_length(p_payee_id), p_payee_id, p_source_transaction),
        'UTF8')), 'hex'), 40);
end
$$;
comment on function payout.payout_ref(text, text, text) is
    'Identity of the transfer of a settlement to a payee from a source: payout_ and 40 hex digits.';
-- end frozen: procedures/scheduling/payout_ref.sql

-- frozen: procedures/scheduling/read_lines.sql c64082b9a513
-- read_lines: the lines of a settlement out of the JSON that complete_settlement takes.
--
-- One line, the common case, is well formed if it equals itself written anew out of texts.
-- Others are looked at by a query, then read in a loop, which costs less than another.
-- Raises: SP309 not an array of such objects, naming the element.

create or replace function payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb)
returns payout.settlement_lines[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lines payout.settlement_lines[] := '{}'::payout.settlement_lines[];
    v_line jsonb := p_lines -> 0;
    v_line_id text := v_line ->> 'line_id';
    v_payee_id text := v_line ->> 'payee_id';
    v_source_transaction text := v_line ->> 'source_transaction';
    v_amount_minor text := (v_line -> 'amount_minor')::text;
begin
    if jsonb_typeof(p_lines) = 'array' and p_lines -> 1 is null
        and v_amount_minor ~ '^[1-9][0-9]{0,14}$'
        and v_line_id is not null and v_payee_id is not null
        and v_line - 'amount_minor' = (case
            when v_source_transaction is null
                then jsonb_object(array['line_id', v_line_id, 'payee_id', v_payee_id])
            else jsonb_object(array['line_id', v_line_id, 'payee_id', v_payee_id,
                'source_transaction', v_source_transaction])
        end) then
        return array[row(
            p_settlement_id, v_line_id, v_payee_id, v_amount_minor, v_source_transaction
        )::payout.settlement_lines];
    end if;

    perform payout.refuse_bad_lines(p_lines);
    for i in 0 .. jsonb_array_length(p_lines) - 1 loop
        v_line := p_lines -> i;
        v_lines := v_lines || row(
            p_settlement_id, v_line ->> 'line_id', v_line ->> 'payee_id',
            v_line ->> 'amount_minor', v_line ->> 'source_transaction'
        )::payout.settlement_lines;
    end loop;
    return v_lines;
end
$$;
comment on function payout.read_lines(payout.external_id, jsonb) is
    'The lines of a settlement given as JSON, or an error that names the wrong one (SP309).';
-- end frozen: procedures/scheduling/read_lines.sql

-- frozen: procedures/scheduling/refuse_bad_lines.sql 55ac18b0a885
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
                or e.line ->> 'amount_minor' !~ '^-?[0-9]+$'
                then 'has no whole number amount_minor'
            when e.line ->> 'amount_minor' !~ '^[1-9]'
                then 'has an amount_minor that is not above 0'
            when length(e.line ->> 'amount_minor') > 15
                then 'has an amount_minor that is more than one transfer can carry'
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

-- frozen: procedures/scheduling/refuse_bad_settlement.sql e166d9faa369
-- refuse_bad_settlement: why a settlement cannot be paid out as it stands.
--
-- Called by: whoever makes its transfers, if they do not come to its total.
-- Raises: SP305, SP308 header; SP303 total; SP301, SP302 payees; SP304, SP306 amounts;
-- SP402 the reason is gone by now, as when a payee was registered meanwhile.

create or replace function payout.refuse_bad_settlement(
    p_settlement payout.settlements, p_made_minor bigint
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.refuse_bad_header(p_settlement);
    perform payout.refuse_bad_total(p_settlement);
    perform payout.refuse_bad_payees(p_settlement.settlement_id);
    perform payout.refuse_bad_amounts(p_settlement.settlement_id, p_settlement.currency);
    if p_made_minor is distinct from p_settlement.total_minor then
        raise exception 'settlement %: payees or currencies changed while it was scheduled',
            p_settlement.settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction.';
    end if;
end
$$;
comment on function payout.refuse_bad_settlement(payout.settlements, bigint) is
    'Refuses a settlement that cannot be paid out as it stands (SP301 to SP306, SP308), or of '
    'which another sum than its total can (SP402).';
-- end frozen: procedures/scheduling/refuse_bad_settlement.sql

-- frozen: procedures/scheduling/request_sha256.sql 14c6f9f12f13
-- request_sha256: the digest of a frozen request.
--
-- Of the text in the encoding of the database, backslashes doubled for the cast only. The
-- trigger that writes digests has the same expression: a call would cost more than it.

create or replace function payout.request_sha256(p_request jsonb)
returns bytea
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return sha256(replace(p_request::text, E'\\', E'\\\\')::bytea);
end
$$;
comment on function payout.request_sha256(jsonb) is 'SHA-256 of the JSON text of a request.';
-- end frozen: procedures/scheduling/request_sha256.sql

-- frozen: procedures/scheduling/schedule_payout_job.sql f8e4b2218911
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
    return payout.create_payout_job(v_settlement);
end
$$;
comment on function payout.schedule_payout_job(text) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable.';
-- end frozen: procedures/scheduling/schedule_payout_job.sql

-- frozen: procedures/scheduling/tg_payout_transfers__derive.sql 1dde4f72a4b7
-- tg_payout_transfers__derive: what of a transfer follows from the rest of it.
--
-- Its identity, the parameters of POST /v1/transfers and their digest. An insert may leave
-- them out, or give of the request only what is to go into its metadata; what it does give
-- must be so. Nothing volatile is in the request: a retry must repeat it to the letter.
-- Stripe sets transfer_group itself when source_transaction is given: it is left out then.
-- jsonb_object takes texts only, and costs a fraction of jsonb_build_object.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.tg_payout_transfers__derive()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_ref text := payout.payout_ref(
        new.settlement_id, new.payee_id, new.source_transaction);
    v_metadata jsonb := jsonb_object(array[
        'payout_ref', v_payout_ref,
        'settlement_id', new.settlement_id,
        'payee_id', new.payee_id]);
    v_request jsonb;
    v_request_sha256 bytea;
    v_broken text;
begin
    if new.request is not null then
        v_metadata := case jsonb_typeof(new.request -> 'metadata')
            when 'object' then new.request -> 'metadata'
            else '{}'
        end || v_metadata;
    end if;
    v_request := jsonb_object(array[
        'currency', new.currency,
        'destination', new.destination,
        case when new.source_transaction is null
            then 'transfer_group' else 'source_transaction' end,
        coalesce(new.source_transaction, v_payout_ref)
    ]) || jsonb_build_object('amount', new.amount_minor, 'metadata', v_metadata);
    v_request_sha256 := sha256(replace(v_request::text, E'\\', E'\\\\')::bytea);

    if new.amount_minor <= 0 then
        v_broken := 'amount_is_positive';
    elsif not starts_with(new.destination, 'acct_') then
        v_broken := 'destination_is_a_stripe_account';
    elsif new.payout_ref is not null or new.request is not null
        or new.request_sha256 is not null then
        v_broken := case
            when new.payout_ref <> v_payout_ref then 'payout_ref_is_derived'
            when not v_request @> new.request then 'request_says_what_the_row_says'
            when new.request_sha256 <> v_request_sha256 then 'digest_is_of_the_request'
        end;
    end if;
    if v_broken is not null then
        perform payout.refuse_bad_row('payout_transfers', v_broken);
    end if;

    new.payout_ref := v_payout_ref;
    new.request := v_request;
    new.request_sha256 := v_request_sha256;
    return new;
end
$$;
comment on function payout.tg_payout_transfers__derive() is
    'Trigger: fills in payout_ref, request and its digest, or refuses those that are not so, an '
    'amount that is not above 0 and a destination that is no account (23514).';

create or replace trigger _110_derive
    before insert on payout.payout_transfers
    for each row
    execute function payout.tg_payout_transfers__derive();
alter table payout.payout_transfers enable always trigger _110_derive;
-- end frozen: procedures/scheduling/tg_payout_transfers__derive.sql

-- frozen: procedures/scheduling/tg_settlements__schedule_payout_job.sql cc5dc78ae85b
-- tg_settlements__schedule_payout_job: a settlement that commits as complete has its payouts.
--
-- Deferred to the commit, so that settlement and lines may come in any order. What
-- complete_settlement writes, it schedules itself; nobody else may say so of a row.
-- It stays ORIGIN, unlike the guards: a replica or a restore must not pay again.
-- Definer: the application may write settlements, but no jobs or transfers.
-- Raises: what refuse_bad_settlement raises; the commit then fails as a whole.

create or replace function payout.tg_settlements__schedule_payout_job()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_lines payout.settlement_lines[];
begin
    -- The row is as the event shows it, and held: a complete settlement is frozen.
    if new.state <> 'complete' then
        return null;
    end if;
    -- Two lines are enough to see whether there is exactly one; none if it has its job. One
    -- that was complete before may have a job that an older snapshot does not show.
    v_lines := array(
        select l
        from payout.settlement_lines as l
        where l.settlement_id = new.settlement_id
            and not exists (
                select from payout.payout_jobs as j where j.settlement_id = new.settlement_id
            )
        limit 2);
    if cardinality(v_lines) = 1 and old.state is distinct from 'complete' then
        perform payout.create_single_payout(new, v_lines[1]);
    else
        perform payout.create_payout_job(new);
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
    when (not new.is_scheduled_by_call)
    execute function payout.tg_settlements__schedule_payout_job();
-- end frozen: procedures/scheduling/tg_settlements__schedule_payout_job.sql

-- frozen: procedures/ledger/tg_ledger_entries__check_movement.sql 5595167d6bb6
-- tg_ledger_entries__check_movement: the rules of a row of ledger_entries.
--
-- The movements that exist, by kind: PL/pgSQL prepares only what it comes to.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.tg_ledger_entries__check_movement()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean := false;
begin
    if new.kind = 'obligation' then
        v_exists := new.debit_account = 'settlement_funds'
            and new.credit_account like 'payable:_%' and new.generation = 1;
    elsif new.kind = 'reserve' then
        v_exists := new.debit_account like 'payable:_%' and new.credit_account = 'in_flight';
    elsif new.kind = 'paid' then
        v_exists := new.debit_account = 'in_flight' and new.credit_account = 'stripe_balance';
    elsif new.kind = 'release' then
        v_exists := new.debit_account = 'in_flight' and new.credit_account like 'payable:_%';
    elsif new.kind = 'reversal' then
        v_exists := new.debit_account = 'stripe_balance'
            and new.credit_account like 'payable:_%'
            and new.stripe_reversal_id is not null;
    end if;
    if not v_exists or new.amount_minor <= 0
        or (new.stripe_reversal_id is not null and new.kind <> 'reversal') then
        perform payout.refuse_bad_row('ledger_entries', case
            when new.amount_minor <= 0 then 'amount_is_positive'
            when new.kind = 'obligation' and new.generation <> 1
                then 'obligation_is_of_the_first_generation'
            else 'movement_exists'
        end);
    end if;
    return new;
end
$$;
comment on function payout.tg_ledger_entries__check_movement() is
    'Trigger: the amount is above 0, the accounts are those of the kind, only reversals name a '
    'reversal (23514).';

create or replace trigger _500_check_movement
    before insert on payout.ledger_entries
    for each row
    execute function payout.tg_ledger_entries__check_movement();
alter table payout.ledger_entries enable always trigger _500_check_movement;
-- end frozen: procedures/ledger/tg_ledger_entries__check_movement.sql

-- frozen: procedures/api/app/complete_settlement.sql 7cf7582a9f14
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
set jit = off
set enable_seqscan = off
as $$
declare
    v_settlement payout.settlements := row(
        p_settlement_id::payout.external_id, p_currency::payout.currency_code,
        null::payout.positive_minor, 'complete'::payout.settlement_state,
        p_pay_after::payout.moment, coalesce(p_metadata, '{}')::payout.metadata, current_timestamp,
        true)::payout.settlements;
    v_lines payout.settlement_lines[];
    v_line payout.settlement_lines;
    v_total_minor bigint := 0::bigint;
    v_difference text;
begin
    v_lines := payout.read_lines(v_settlement.settlement_id, p_lines);
    foreach v_line in array v_lines loop
        v_total_minor := v_total_minor + v_line.amount_minor;
    end loop;
    v_settlement.total_minor := v_total_minor;

    insert into payout.settlements
    values (v_settlement.*)
    on conflict (settlement_id) do nothing;

    if found then
        insert into payout.settlement_lines
        select l.*
        from unnest(v_lines) as l;
        if cardinality(v_lines) = 1 then
            return payout.create_single_payout(v_settlement, v_lines[1]);
        end if;
        return payout.create_payout_job(v_settlement);
    end if;

    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    v_difference := payout.settlement_difference(
        v_settlement, p_currency, p_lines, p_pay_after, coalesce(p_metadata, '{}'));
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

-- frozen: procedures/api/operator/doctor.sql ee39f1fe501c
-- doctor: everything that can be checked from inside, one row a check.
--
-- Called by: payout-engine doctor, operators, auditors; after a restore above all.
-- Compiling its queries takes 1.5 s on PostgreSQL 15, running them 30 ms.

create or replace function payout_api.doctor(
    p_stripe_account_id text default null, p_is_livemode boolean default null
)
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select * from payout.check_server()
    union all
    select * from payout.check_gate(p_stripe_account_id, p_is_livemode)
    union all
    select * from payout.check_guards()
    union all
    select * from payout.check_rights()
    union all
    select * from payout.check_queue()
    union all
    select * from payout.check_books()
    union all
    select * from payout.check_settlements()
    union all
    select * from payout.check_rules()
    union all
    select * from payout.check_references()
    union all
    select * from payout.check_seals()
$$;
comment on function payout_api.doctor(text, boolean) is
    'Checks server, gate, guards, queue, books and seals; hint says what to do where is_ok is '
    'false. The Stripe account is that of the caller''s key, if it has one.';
revoke execute on function payout_api.doctor(text, boolean) from public;
grant execute on function payout_api.doctor(text, boolean)
    to payout_worker, payout_operator, payout_auditor;
-- end frozen: procedures/api/operator/doctor.sql

-- frozen: procedures/doctor/check_guards.sql c1357c21083e
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
    select 'guards are enabled always', count(*) filter (where t.tgenabled = 'A') = 71,
        coalesce(string_agg(format('%s on %s', t.tgname, t.tgrelid::regclass), ', ')
            filter (where t.tgenabled <> 'A'), format('%s of 71 guards', count(*))),
        'alter table … enable always trigger …; then find out who disabled it'
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'payout'::regnamespace and not t.tgisinternal
        and t.tgname not in (
            '_900_schedule_payout_job', '_900_refuse_frozen_insert', '_900_check_settlement')
    union all
    select 'inserts are guarded', count(*) = 2, format('%s of 2 guards', count(*)),
        'alter table … enable trigger …; then find out who disabled it'
    from pg_trigger as t
    join pg_class as c on c.oid = t.tgrelid
    where c.relnamespace = 'payout'::regnamespace and t.tgenabled = 'O'
        and t.tgname in ('_900_refuse_frozen_insert', '_900_check_settlement')
    union all
    select 'settlements schedule their payouts', coalesce(min(t.tgenabled::text) = 'O', false),
        coalesce(min(t.tgenabled::text), 'missing'),
        'alter table payout.settlements enable trigger _900_schedule_payout_job'
    from pg_trigger as t
    where t.tgrelid = 'payout.settlements'::regclass and t.tgname = '_900_schedule_payout_job'
    union all
    select 'no table is part of another', count(*) = 0,
        coalesce(string_agg(i.inhrelid::regclass::text, ', '), 'no child'),
        'find out who made it: its rows count as those of its parent, and no guard sees them'
    from pg_inherits as i
    join pg_class as c on c.oid = i.inhparent
    where c.relnamespace = 'payout'::regnamespace and c.relkind = 'r'
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

-- frozen: procedures/doctor/check_rules.sql 27472e8e9913
-- check_rules: whether rows that were written while their guards were off keep the rules.
--
-- Of transfers only what may still be sent: what is paid was compared with Stripe's answer,
-- what is cancelled is not sent.

create or replace function payout.check_rules()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with open_transfers as (
        select s as progress, t.*
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.state not in ('paid', 'cancelled')
    ), wrong as (
        select o.payout_transfer_id as id, 'every request still to be sent says what its row says'
        from open_transfers as o
        where o.amount_minor <= 0 or not starts_with(o.destination, 'acct_')
            or o.payout_ref
                <> payout.payout_ref(o.settlement_id, o.payee_id, o.source_transaction)
            or o.request_sha256 <> payout.request_sha256(o.request)
            or case jsonb_typeof(o.request) when 'object' then o.request - 'metadata' end
                is distinct from jsonb_build_object(
                    'amount', o.amount_minor, 'currency', o.currency,
                    'destination', o.destination,
                    case when o.source_transaction is null
                        then 'transfer_group' else 'source_transaction' end,
                    coalesce(o.source_transaction, o.payout_ref))
            or (o.request -> 'metadata' @> jsonb_build_object(
                'payout_ref', o.payout_ref, 'settlement_id', o.settlement_id,
                'payee_id', o.payee_id)) is not true
        union all
        select o.payout_transfer_id, 'every transfer that is not paid can go on'
        from open_transfers as o
        where payout.progress_problem(o.progress) is not null
        union all
        select e.ledger_entry_id, 'every entry is a movement that exists'
        from payout.ledger_entries as e
        where e.amount_minor <= 0 or (e.kind = 'obligation' and e.generation <> 1)
            or (e.kind = 'reversal') <> (e.stripe_reversal_id is not null)
            or (
                e.kind,
                case when e.debit_account like 'payable:_%' then '*' else e.debit_account end,
                case when e.credit_account like 'payable:_%' then '*' else e.credit_account end
            ) not in (
                ('obligation', 'settlement_funds', '*'), ('reserve', '*', 'in_flight'),
                ('paid', 'in_flight', 'stripe_balance'), ('release', 'in_flight', '*'),
                ('reversal', 'stripe_balance', '*'))
    )
    select r.rule, count(w.id) = 0,
        format('%s break this%s', count(w.id), ', the first is number ' || min(w.id)),
        'payout_api.hold(''engine'', …); find out who wrote it while the guards were off'
    from (values
        ('every request still to be sent says what its row says'),
        ('every transfer that is not paid can go on'),
        ('every entry is a movement that exists')
    ) as r (rule)
    left join wrong as w (id, rule) on w.rule = r.rule
    group by r.rule
$$;
comment on function payout.check_rules() is
    'Part of payout_api.doctor(): open transfers and ledger entries keep the rules of their rows.';
-- end frozen: procedures/doctor/check_rules.sql

-- frozen: procedures/doorbell/ring_for_job.sql a17614abbd86
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
    v_seen_id bigint := pg_sequence_last_value('payout.seen_doorbell'::regclass);
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
    if v_times = 1 then
        if v_seen_id is null then
            v_seen_id := payout.see_doorbell();
        end if;
        if v_seen_id is not null then
            return array[v_seen_id];
        end if;
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

-- frozen: procedures/seals/sealed_rows_v1.sql a75c449f9867
-- sealed_rows_v1: the rows of a range of ids, each with its time and its digest.
--
-- A digest covers the columns named here and no others, as a JSON array of
-- numbers, texts, truths and seconds since 1970: no setting of a session shows
-- in it. Seals of version 1 stand on this text: to cover a later column append it
-- where it is not null, or not what it was, so that rows from before keep their digests;
-- else write a v2.

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
            t.request, extract(epoch from t.created_at)::text)
            || case when t.request_sha256 = payout.request_sha256(t.request) then '[]'
                else jsonb_build_array(encode(t.request_sha256, 'hex')) end)
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

-- dropped: procedures/ledger/entry_fits.sql
drop function if exists payout.entry_fits(payout.ledger_entries);
-- end dropped: procedures/ledger/entry_fits.sql

-- dropped: procedures/scheduling/create_transfer.sql
drop function if exists payout.create_transfer(payout.settlements, bigint, payout.settlement_lines);
-- end dropped: procedures/scheduling/create_transfer.sql

-- dropped: procedures/guards/transfer_fits.sql
drop function if exists payout.transfer_fits(payout.payout_transfers);
-- end dropped: procedures/guards/transfer_fits.sql

-- dropped: procedures/guards/refuse_row.sql
drop function if exists payout.refuse_row(text, text);
-- end dropped: procedures/guards/refuse_row.sql

-- dropped: procedures/guards/progress_fits.sql
drop function if exists payout.progress_fits(payout.transfer_states);
-- end dropped: procedures/guards/progress_fits.sql

-- dropped: procedures/scheduling/transfer_request.sql
drop function if exists payout.transfer_request(text, payout.settlements, text, text, bigint, text);
-- end dropped: procedures/scheduling/transfer_request.sql

reset role;
