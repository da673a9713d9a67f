-- 0011-leaner-settling: a settlement in fewer expressions, calls and look-ups: each is set up anew in its transaction
-- depends: 0010-reconcile

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: procedures/guards/id_fits.sql 69ea0a19c7ed
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
        when length(p_id) not between 1 and 200 then 'id_is_1_to_200_characters'
        when p_id is not nfc normalized then 'id_is_in_unicode_normal_form_c'
    end;
begin
    if v_broken is not null then
        raise exception 'value for domain payout.external_id violates check constraint "%"',
            v_broken
            using
                errcode = '23514',
                schema = 'payout',
                datatype = 'external_id',
                constraint = v_broken;
    end if;
    return true;
end
$$;
comment on function payout.id_fits(text) is
    'Check: 1 to 200 characters, no blank at its ends, no control characters, normal form C.';
revoke execute on function payout.id_fits(text) from public;
grant execute on function payout.id_fits(text) to payout_app;
-- end frozen: procedures/guards/id_fits.sql

-- frozen: procedures/guards/progress_fits.sql d140d60002ce
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
    v_broken text;
begin
    -- A row that merely waits: all that a settlement writes.
    if p_state.state = 'scheduled' and p_state.next_attempt_at is not null
        and least(p_state.generation - 1, p_state.attempt, p_state.tries) >= 0
        and p_state.lease_until is null and p_state.next_lookup_at is null
        and p_state.stripe_transfer_id is null then
        return true;
    end if;
    v_broken := case
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
    return v_broken is null or payout.refuse_row('transfer_states', v_broken);
end
$$;
comment on function payout.progress_fits(payout.transfer_states) is
    'Check: counters, lease, next steps, Stripe''s id and reason are those that the state has.';
-- end frozen: procedures/guards/progress_fits.sql

-- frozen: procedures/guards/tg_settlement_lines__refuse_frozen.sql 211dbe14e249
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

-- frozen: procedures/guards/transfer_fits.sql 24c24eeca49c
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
        when array[
                p_transfer.request ->> 'amount',
                p_transfer.request ->> 'currency',
                p_transfer.request ->> 'destination',
                p_transfer.request ->> 'source_transaction',
                p_transfer.request #>> '{metadata,payout_ref}',
                p_transfer.request #>> '{metadata,settlement_id}',
                p_transfer.request #>> '{metadata,payee_id}'
            ] <> array[
                p_transfer.amount_minor::text, p_transfer.currency, p_transfer.destination,
                p_transfer.source_transaction, p_transfer.payout_ref, p_transfer.settlement_id,
                p_transfer.payee_id]
            then 'request_says_what_the_row_says'
    end;
begin
    return v_broken is null or payout.refuse_row('payout_transfers', v_broken);
end
$$;
comment on function payout.transfer_fits(payout.payout_transfers) is
    'Check: amount > 0, payout_ref is derived, the request says what the row says.';
-- end frozen: procedures/guards/transfer_fits.sql

-- frozen: procedures/scheduling/create_transfer.sql 1a5e8a330bb0
-- create_transfer: the one transfer of a settlement with one line, its progress and its books.
--
-- The common case of create_transfers, without what it needs for many rows: half its cost.
-- Called by: create_payout_job, whose settings hold here as well.

create or replace function payout.create_transfer(
    p_settlement payout.settlements, p_payout_job_id bigint, p_line payout.settlement_lines
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_destination text;
    v_payout_ref text;
    v_payout_transfer_id bigint;
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
    if v_destination is null then
        return 0::bigint;
    end if;

    v_payout_ref := payout.payout_ref(
        p_settlement.settlement_id, p_line.payee_id, p_line.source_transaction);
    v_payout_transfer_id := nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass);

    -- One statement: each costs its start and end once more.
    with transfer as (
        insert into payout.payout_transfers (
            payout_transfer_id, payout_job_id, settlement_id, payee_id, source_transaction,
            destination, amount_minor, currency, payout_ref, request)
        overriding system value
        values (
            v_payout_transfer_id, p_payout_job_id, p_settlement.settlement_id, p_line.payee_id,
            p_line.source_transaction, v_destination, p_line.amount_minor, p_settlement.currency,
            v_payout_ref,
            payout.transfer_request(
                v_payout_ref, p_settlement, p_line.payee_id, v_destination, p_line.amount_minor,
                p_line.source_transaction))
    ), progress as (
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        values (
            v_payout_transfer_id, coalesce(p_settlement.pay_after, now()),
            (payout.ring_for_job(p_payout_job_id, 1, p_settlement.pay_after))[1])
    )
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

-- frozen: procedures/scheduling/payout_ref.sql 1981c167575b
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
        concat(
            octet_length(p_settlement_id), ':', p_settlement_id, ',',
            octet_length(p_payee_id), ':', p_payee_id, ',', p_source_transaction),
        'UTF8')), 'hex'), 40);
end
$$;
comment on function payout.payout_ref(text, text, text) is
    'Identity of the transfer of a settlement to a payee from a source: payout_ and 40 hex digits.';
-- end frozen: procedures/scheduling/payout_ref.sql

-- frozen: procedures/scheduling/read_lines.sql e95a656a115a
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
        and v_amount_minor ~ '^[0-9]{1,18}$' and v_line_id is not null and v_payee_id is not null
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

-- frozen: procedures/scheduling/schedule_payout_job.sql a3c5ab043ab5
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
    -- Without its lines: the path for many takes any number.
    return payout.create_payout_job(v_settlement, '{}'::payout.settlement_lines[]);
end
$$;
comment on function payout.schedule_payout_job(text) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable.';
-- end frozen: procedures/scheduling/schedule_payout_job.sql

-- frozen: procedures/scheduling/tg_settlements__schedule_payout_job.sql 090c982fa45d
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
set jit = off
set enable_seqscan = off
as $$
begin
    -- The row is as the event shows it, and held: a complete settlement is frozen.
    if new.state = 'complete' then
        perform from payout.payout_jobs as j where j.settlement_id = new.settlement_id;
        if not found then
            -- Two lines are enough to see whether there is exactly one.
            perform payout.create_payout_job(new, array(
                select l
                from payout.settlement_lines as l
                where l.settlement_id = new.settlement_id
                limit 2));
        end if;
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

-- frozen: procedures/api/app/complete_settlement.sql 2822d1436ec5
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
    v_line payout.settlement_lines;
    v_total_minor bigint := 0::bigint;
    v_difference text;
begin
    v_lines := payout.read_lines(v_settlement.settlement_id, p_lines);
    foreach v_line in array v_lines loop
        v_total_minor := v_total_minor + v_line.amount_minor;
    end loop;
    v_settlement.total_minor := v_total_minor;

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

-- frozen: procedures/doctor/expected_rights.sql a39e2de16d0d
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
        ('payout_app', 'EXECUTE', '^payout[.]id_fits[(]'),
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

-- frozen: procedures/doorbell/ring_for_job.sql 5193ced0ddcc
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
    if p_pay_after is not null then
        if p_pay_after > now() then
            return '{}'::bigint[];
        end if;
    end if;
    if p_transfers > 1 then
        v_times := (
            select (p_transfers + e.transfers_per_doorbell - 1) / e.transfers_per_doorbell
            from payout.engine_settings as e);
    end if;
    -- The queue may have been dropped since, or taken away from the engine.
    if v_times = 1 and v_waiting_id is not null
        and has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        and has_table_privilege(to_regclass('procrastinate.procrastinate_jobs')::oid, 'select') then
        perform from procrastinate.procrastinate_jobs as q
        where q.id = v_waiting_id
            and q.status = 'todo'
            and q.task_name = 'payout.execute';
        if found then
            return array[v_waiting_id];
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

-- dropped: procedures/doorbell/is_waiting.sql
drop function if exists payout.is_waiting(bigint);
-- end dropped: procedures/doorbell/is_waiting.sql

-- dropped: procedures/scheduling/total_minor.sql
drop function if exists payout.total_minor(payout.settlement_lines[]);
-- end dropped: procedures/scheduling/total_minor.sql

-- dropped: procedures/scheduling/first_lines.sql
drop function if exists payout.first_lines(text);
-- end dropped: procedures/scheduling/first_lines.sql

-- One cheap look for what nearly every id is, one function for all others. In one block: Postgres
-- 18 refuses the second change of a domain after a savepoint.
do $$
begin
    alter domain payout.external_id drop constraint id_is_1_to_200_characters;
    alter domain payout.external_id drop constraint id_has_no_control_characters;
    alter domain payout.external_id drop constraint id_has_no_blank_at_its_ends;
    alter domain payout.external_id drop constraint id_is_in_unicode_normal_form_c;
    alter domain payout.external_id add constraint id_fits check (
        (octet_length(value) <= 200 and value ~ '^[!-~]([ -~]*[!-~])?$') or payout.id_fits(value));
end
$$;

reset role;
