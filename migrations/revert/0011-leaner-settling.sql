-- Revert 0011-leaner-settling.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

do $$
begin
    alter domain payout.external_id drop constraint id_fits;
    alter domain payout.external_id add constraint id_is_1_to_200_characters
        check (length(value) between 1 and 200);
    alter domain payout.external_id add constraint id_has_no_control_characters
        check (value !~ '[\x01-\x1f\x7f-\x9f]');
    alter domain payout.external_id add constraint id_has_no_blank_at_its_ends check (
        value !~ '^[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
        and value !~ '[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$');
    alter domain payout.external_id add constraint id_is_in_unicode_normal_form_c
        check (value is nfc normalized);
end
$$;

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

-- frozen: procedures/scheduling/payout_ref.sql 51b08e7da455
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
        octet_length(p_settlement_id)::text || ':' || p_settlement_id
        || ',' || octet_length(p_payee_id)::text || ':' || p_payee_id
        || ',' || coalesce(p_source_transaction, ''),
        'UTF8')), 'hex'), 40);
end
$$;
comment on function payout.payout_ref(text, text, text) is
    'Identity of the transfer of a settlement to a payee from a source: payout_ and 40 hex digits.';
-- end frozen: procedures/scheduling/payout_ref.sql

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

-- dropped: procedures/guards/id_fits.sql
drop function if exists payout.id_fits(text);
-- end dropped: procedures/guards/id_fits.sql

reset role;
