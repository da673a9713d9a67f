-- 0012-one-look-less: Leave out of a settlement what only looks a second time: at the bell, at its lines and at its job.
-- depends: 0011-leaner-settling

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- A redundant look less at commit: complete_settlement makes the job itself. No grant: the
-- application writes the other columns.
alter table payout.settlements add column is_scheduled_by_call boolean not null default false;
comment on column payout.settlements.is_scheduled_by_call is
    'True: complete_settlement wrote the row and made its job; the trigger need not.';

-- The guards of lines look for the settlement in any case, and lock it; a key did so again.
-- squawk-ignore ban-drop-constraint
alter table payout.settlement_lines drop constraint settlement_lines_settlement_id_fkey;

-- A bell that was seen to wait is not looked for again until a claim or a sweep forgets it.
create sequence payout.seen_doorbell;
comment on sequence payout.seen_doorbell is
    'The queue job that was seen to wait for a worker; null (not called): look for it.';
comment on sequence payout.waiting_doorbell is
    'The queue job that was rung last, if no claim was made since; null (not called): none.';

-- frozen: procedures/guards/tg_lines_ahead__check_settlement.sql b17fd8fa2612
-- tg_lines_ahead__check_settlement: lines that came before their settlement belong to it.
--
-- At commit: the settlement may by then have been written by somebody else, who
-- scheduled it without these lines. A snapshot too old to show it cannot tell.
-- Definer: the application may write lines, but not read payout_jobs.
-- Raises: SP102 it was scheduled without the lines; SP310 there is no such settlement;
-- SP402 repeat the transaction.

create or replace function payout.tg_lines_ahead__check_settlement()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
begin
    delete from payout.lines_ahead as a where a.settlement_id = new.settlement_id;

    -- Written, so that whoever completes it with an older snapshot fails.
    update payout.settlements as s
    set state = s.state
    where s.settlement_id = new.settlement_id
        and s.state = 'pending'
        and s.xmin <> pg_current_xact_id()::xid;

    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = new.settlement_id;
    if not found and current_setting('transaction_isolation') like 'read %' then
        raise exception 'settlement % does not exist', new.settlement_id
            using
                errcode = 'SP310',
                detail = 'Lines of it have been inserted.',
                hint = 'Insert the settlement and its lines in one transaction, in any order.';
    elsif not found then
        raise exception 'settlement % does not exist, or not yet when this transaction began',
            new.settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction, and insert the settlement if nobody else does.';
    end if;

    if exists (select from payout.payout_jobs as j where j.settlement_id = new.settlement_id)
        and v_settlement.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = new.settlement_id
        ) then
        perform payout.refuse_late_lines(new.settlement_id);
    end if;
    return null;
end
$$;
comment on function payout.tg_lines_ahead__check_settlement() is
    'Trigger: at commit, refuses lines whose settlement was scheduled without them (SP102), or is '
    'not there (SP310).';

drop trigger if exists _900_check_settlement on payout.lines_ahead;
create constraint trigger _900_check_settlement
    after insert on payout.lines_ahead
    deferrable initially deferred
    for each row
    execute function payout.tg_lines_ahead__check_settlement();
-- end frozen: procedures/guards/tg_lines_ahead__check_settlement.sql

-- frozen: procedures/guards/tg_settlements__refuse_frozen.sql f7e48ce9cbb2
-- tg_settlements__refuse_frozen: a settlement is edited while pending, never once complete.
--
-- An update that changes nothing, to the byte, passes: completing twice is harmless.
-- Nor does a pending one go while it has lines: they have no foreign key (D-058).
-- Raises: SP102 the settlement is complete, or has lines.

create or replace function payout.tg_settlements__refuse_frozen()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.state = 'complete' and (tg_op = 'DELETE' or new operator(pg_catalog.*<>) old) then
        raise exception 'settlement % is complete and cannot be changed', old.settlement_id
            using
                errcode = 'SP102',
                detail = 'Its payouts were scheduled from exactly this content.',
                hint = 'Record a correction as another settlement.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    if tg_op = 'DELETE' then
        if exists (
            select from payout.settlement_lines as l where l.settlement_id = old.settlement_id
        ) then
            raise exception 'settlement % has lines and cannot be deleted', old.settlement_id
                using
                    errcode = 'SP102',
                    hint = 'Delete its lines first.',
                    schema = tg_table_schema,
                    table = tg_table_name;
        end if;
        return old;
    end if;
    if new.settlement_id <> old.settlement_id then
        raise exception 'settlement % cannot be renamed', old.settlement_id
            using
                errcode = 'SP102',
                hint = 'Delete the pending settlement and insert another.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'settlement_id';
    end if;
    return new;
end
$$;
comment on function payout.tg_settlements__refuse_frozen() is
    'Trigger: refuses changes to a complete settlement, and to lose one that has lines (SP102).';

create or replace trigger _500_refuse_frozen
    before update or delete on payout.settlements
    for each row
    execute function payout.tg_settlements__refuse_frozen();
alter table payout.settlements enable always trigger _500_refuse_frozen;
-- end frozen: procedures/guards/tg_settlements__refuse_frozen.sql

-- frozen: procedures/scheduling/tg_settlements__schedule_payout_job.sql 5b4c63688c83
-- tg_settlements__schedule_payout_job: a settlement that commits as complete has its payouts.
--
-- Deferred to the commit, so that settlement and lines may come in any order. What
-- complete_settlement writes, it schedules itself; nobody else may say so of a row.
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
        -- Two lines are enough to see whether there is exactly one.
        perform payout.create_payout_job(new, array(
            select l
            from payout.settlement_lines as l
            where l.settlement_id = new.settlement_id
            limit 2));
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

-- frozen: procedures/ledger/entry_fits.sql dc7690d28e65
-- entry_fits: the rules of a row of ledger_entries.
--
-- The movements that exist, by kind: PL/pgSQL prepares only what it comes to.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.entry_fits(p_entry payout.ledger_entries)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean := false;
begin
    if p_entry.kind = 'obligation' then
        v_exists := p_entry.debit_account = 'settlement_funds'
            and p_entry.credit_account like 'payable:_%' and p_entry.generation = 1;
    elsif p_entry.kind = 'reserve' then
        v_exists := p_entry.debit_account like 'payable:_%'
            and p_entry.credit_account = 'in_flight';
    elsif p_entry.kind = 'paid' then
        v_exists := p_entry.debit_account = 'in_flight'
            and p_entry.credit_account = 'stripe_balance';
    elsif p_entry.kind = 'release' then
        v_exists := p_entry.debit_account = 'in_flight'
            and p_entry.credit_account like 'payable:_%';
    elsif p_entry.kind = 'reversal' then
        v_exists := p_entry.debit_account = 'stripe_balance'
            and p_entry.credit_account like 'payable:_%'
            and p_entry.stripe_reversal_id is not null;
    end if;
    if v_exists and p_entry.amount_minor > 0
        and (p_entry.stripe_reversal_id is null or p_entry.kind = 'reversal') then
        return true;
    end if;
    return payout.refuse_row('ledger_entries', case
        when p_entry.amount_minor <= 0 then 'amount_is_positive'
        when p_entry.kind = 'obligation' and p_entry.generation <> 1
            then 'obligation_is_of_the_first_generation'
        when not v_exists or p_entry.stripe_reversal_id is not null then 'movement_exists'
    end);
end
$$;
comment on function payout.entry_fits(payout.ledger_entries) is
    'Check: amount > 0, the accounts are those of the kind, only reversals name a reversal.';
-- end frozen: procedures/ledger/entry_fits.sql

-- frozen: procedures/api/app/complete_settlement.sql d8a4cf00f5ea
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
        p_pay_after::payout.moment, p_metadata::payout.metadata, now(), true)::payout.settlements;
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

-- frozen: procedures/doctor/check_references.sql e443ef985846
-- check_references: whether what settlements consist of and make refers to what is there.
--
-- The rows of one settlement, and those it makes, have no foreign keys: a key would be
-- looked up for each, in the application's transaction. Nobody can delete them; whoever
-- switched the guards off is found out here.

create or replace function payout.check_references()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every row refers to what is there', count(*) = 0,
        coalesce(string_agg(distinct o.name, ', '), 'lines, jobs, transfers, progress and entries'),
        'the guards were off while somebody changed rows: compare with a backup'
    from (
        select 'settlement_lines' from payout.settlement_lines as l
        where not exists (
            select from payout.settlements as s where s.settlement_id = l.settlement_id
        )
        union all
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
    'Part of payout_api.doctor(): no line, job, transfer, progress row or entry is an orphan.';
-- end frozen: procedures/doctor/check_references.sql

-- frozen: procedures/doorbell/hear_doorbell.sql d3a5d6f90ed1
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
    if pg_sequence_last_value('payout.seen_doorbell'::regclass) is not null then
        perform setval('payout.seen_doorbell', 1, false);
    end if;
end
$$;
comment on function payout.hear_doorbell() is
    'Forgets which bell waits (payout.waiting_doorbell, payout.seen_doorbell); not undone by a '
    'rollback.';
-- end frozen: procedures/doorbell/hear_doorbell.sql

-- frozen: procedures/doorbell/ring_doorbells.sql 2adab18c911c
-- ring_doorbells: ring for what is due and has no bell in the queue.
--
-- That is what waits to be tried again, what had a pay_after, and what lost its
-- bell with a worker or with the queue. A bell that somebody has fetched is none:
-- its worker either claims soon or is gone. Nothing rings for what is on hold.
-- Locks: progress rows, skipping those that somebody else has locked.

create or replace function payout.ring_doorbells(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_settings payout.engine_settings;
    v_due bigint[];
    v_doorbells bigint[];
begin
    if not payout.has_queue()
        or exists (
            select from payout.holds as h where h.scope = 'engine' and h.released_at is null
        ) then
        return 0;
    end if;
    perform payout.clear_lost_doorbells();
    -- The bell that was seen may be lost as well: whoever settles next looks again.
    perform setval('payout.seen_doorbell', 1, false);
    select * into strict v_settings from payout.engine_settings;

    v_due := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.next_attempt_at <= p_now
            and s.state in ('scheduled', 'retry_wait', 'unknown')
            and (s.doorbell_id is null
                or s.next_attempt_at <= p_now - v_settings.ring_again_after)
            and not exists (
                select from procrastinate.procrastinate_jobs as q
                where q.id = s.doorbell_id and q.status = 'todo'
                    and q.task_name = 'payout.execute'
            )
            and not case
                when t.currency = any ((select payout.held_subjects('currency'))::text[]) then true
                when t.payee_id = any ((select payout.held_subjects('payee'))::text[]) then true
                else t.settlement_id = any ((select payout.held_subjects('settlement'))::text[])
            end
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

    v_doorbells := payout.defer_job(
        (select t.payout_job_id from payout.payout_transfers as t
            where t.payout_transfer_id = v_due[1]),
        ceil(cardinality(v_due)::numeric / v_settings.transfers_per_doorbell)::integer);

    update payout.transfer_states as s
    set doorbell_id = v_doorbells[1 + (d.place - 1) / v_settings.transfers_per_doorbell]
    from unnest(v_due) with ordinality as d (payout_transfer_id, place)
    where s.payout_transfer_id = d.payout_transfer_id;

    return cardinality(v_doorbells);
end
$$;
comment on function payout.ring_doorbells(timestamptz, integer) is
    'Rings for up to p_limit due transfers without a bell in the queue; returns the bells rung.';
-- end frozen: procedures/doorbell/ring_doorbells.sql

-- frozen: procedures/doorbell/ring_for_job.sql 06b18151943e
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

-- frozen: procedures/doorbell/see_doorbell.sql 1385d132a454
-- see_doorbell: the bell that was rung last, if everybody can see it waiting in the queue.
--
-- Neither one that was rolled back or is not committed yet, nor one that somebody has
-- fetched. Once seen it counts as waiting until a claim hears it: no further look.

create or replace function payout.see_doorbell()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_doorbell_id bigint := pg_sequence_last_value('payout.waiting_doorbell'::regclass);
begin
    -- The queue may have been dropped since, or taken away from the engine.
    if v_doorbell_id is null or (
        has_schema_privilege(to_regnamespace('procrastinate')::oid, 'usage')
        and has_table_privilege(to_regclass('procrastinate.procrastinate_jobs')::oid, 'select')
    ) is not true then
        return null;
    end if;
    perform from procrastinate.procrastinate_jobs as q
    where q.id = v_doorbell_id
        and q.status = 'todo'
        and q.task_name = 'payout.execute';
    if not found then
        return null;
    end if;
    return setval('payout.seen_doorbell', v_doorbell_id);
end
$$;
comment on function payout.see_doorbell() is
    'The id of the bell that waits in the queue, kept in payout.seen_doorbell as well; or null.';
-- end frozen: procedures/doorbell/see_doorbell.sql

reset role;
