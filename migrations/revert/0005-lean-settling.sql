-- Revert 0005-lean-settling.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

drop trigger _900_schedule_payout_job on payout.settlements;
drop trigger _510_check_start on payout.transfer_states;
drop trigger _511_check_progress on payout.transfer_states;
alter table payout.payout_transfers drop constraint transfer_fits;
alter table payout.transfer_states drop constraint progress_fits;
alter table payout.ledger_entries drop constraint entry_fits;
drop sequence payout.waiting_doorbell;

alter table payout.settlements
    alter column total_minor type bigint,
    alter column state type text,
    alter column pay_after type timestamptz,
    alter column metadata type jsonb,
    add constraint total_is_positive check (total_minor > 0),
    add constraint settlement_is_pending_or_complete check (state in ('pending', 'complete')),
    add constraint pay_after_is_a_moment check (isfinite(pay_after)),
    add constraint metadata_is_an_object check (jsonb_typeof(metadata) = 'object');
alter table payout.settlement_lines
    alter column amount_minor type bigint,
    alter column source_transaction type text,
    add constraint amount_is_positive check (amount_minor > 0),
    add constraint source_transaction_looks_like_one
        check (source_transaction ~ '^[A-Za-z0-9]+_[A-Za-z0-9_]+$'
            and length(source_transaction) <= 255);

-- frozen: procedures/guards/tg_settlement_lines__refuse_frozen.sql 2ad319f6224e
-- tg_settlement_lines__refuse_frozen: lines are frozen once their settlement is scheduled.
--
-- Not once it is complete: within one transaction the settlement may come
-- before its lines, or after them (then lines_ahead is looked at once more at
-- commit). A line of a pending settlement writes that row, so that whoever
-- completes it with an older snapshot fails (40001) instead of missing the line.
-- Definer: the application may write lines, but not read payout_jobs.
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
declare
    v_settlement_ids text[] := array(
        select distinct c.settlement_id::text from changed as c);
    v_found integer;
    v_has_older boolean;
    v_frozen_id text;
begin
    select count(*)::integer, coalesce(bool_or(l.is_older), false) into v_found, v_has_older
    from (
        select s.state = 'pending' and s.xmin <> pg_current_xact_id()::xid as is_older
        from payout.settlements as s
        where s.settlement_id = any (v_settlement_ids)
        order by s.settlement_id
        for no key update
    ) as l;

    if v_found < cardinality(v_settlement_ids) then
        insert into payout.lines_ahead (settlement_id)
        select i.settlement_id::payout.external_id
        from unnest(v_settlement_ids) as i (settlement_id)
        where not exists (
            select from payout.settlements as s where s.settlement_id = i.settlement_id
        )
        order by i.settlement_id
        on conflict do nothing;
    end if;

    if v_has_older then
        update payout.settlements as s
        set state = s.state
        where s.settlement_id = any (v_settlement_ids)
            and s.state = 'pending'
            and s.xmin <> pg_current_xact_id()::xid;
    end if;

    -- With immediate constraints the very statement that inserts both has scheduled
    -- the settlement by now; it did so with these lines if they add up.
    select j.settlement_id::text into v_frozen_id
    from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = any (v_settlement_ids)
        and (tg_op <> 'INSERT' or s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = j.settlement_id
        ))
    limit 1;
    if found then
        perform payout.refuse_late_lines(v_frozen_id);
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

-- frozen: procedures/guards/tg_transfer_states__check_progress.sql ca59cd1f6ad7
-- tg_transfer_states__check_progress: attempts and keys only ever count up.
--
-- A row starts as scheduled and is never handed to another transfer. A claim,
-- and nothing else, counts one attempt up. A new key comes only with the move
-- failed -> scheduled, takes the next number, and must have its reason in
-- key_generations. An old key is never sent again because its number never
-- comes back, and neither the time of its first send nor that a send ended
-- unknown is ever forgotten. A paid row does not change at all.
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
        v_problem := 'a transfer starts as scheduled, with its first key and no attempt';
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
    when (new.state <> 'scheduled' or new.generation <> 1 or new.attempt <> 0
        or new.first_sent_at is not null)
    execute function payout.tg_transfer_states__check_progress();

create or replace trigger _511_check_progress
    before update on payout.transfer_states
    for each row
    when (old.payout_transfer_id <> new.payout_transfer_id
        or old.attempt <> new.attempt
        or old.generation <> new.generation
        or (new.state = 'in_flight' and old.state <> 'in_flight' and new.attempt <> old.attempt + 1)
        or (new.state = 'scheduled' and old.state <> 'scheduled')
        or old.first_sent_at is distinct from new.first_sent_at
        or old.has_unknown_send
        or old.state = 'paid')
    execute function payout.tg_transfer_states__check_progress();
alter table payout.transfer_states enable always trigger _511_check_progress;
-- end frozen: procedures/guards/tg_transfer_states__check_progress.sql

-- frozen: procedures/scheduling/request_fits.sql a78ba7a7a817
-- request_fits: the frozen request says nothing else than the row it stands in.

create or replace function payout.request_fits(
    p_request jsonb,
    p_amount_minor bigint,
    p_currency text,
    p_destination text,
    p_payout_ref text,
    p_settlement_id text,
    p_payee_id text,
    p_source_transaction text
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        p_request ->> 'amount' = p_amount_minor::text
        and p_request ->> 'currency' = p_currency
        and p_request ->> 'destination' = p_destination
        and p_request ->> 'source_transaction' is not distinct from p_source_transaction
        and p_request -> 'metadata' @> jsonb_build_object(
            'payout_ref', p_payout_ref, 'settlement_id', p_settlement_id, 'payee_id', p_payee_id),
        false);
end
$$;
comment on function payout.request_fits(jsonb, bigint, text, text, text, text, text, text) is
    'True when amount, currency, destination, source and metadata of a request are those given.';
-- end frozen: procedures/scheduling/request_fits.sql

-- frozen: procedures/ledger/accounts_fit.sql 47dbfa49ad6c
-- accounts_fit: which account each kind of movement debits and which it credits.
--
-- A function, not a check spelled out in the table: Postgres reads the text of
-- a check anew for each statement, which cost more than the insert itself.

create or replace function payout.accounts_fit(
    p_kind text, p_debit_account text, p_credit_account text
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case p_kind
        when 'obligation' then
            p_debit_account = 'settlement_funds' and p_credit_account like 'payable:_%'
        when 'reserve' then p_debit_account like 'payable:_%' and p_credit_account = 'in_flight'
        when 'paid' then p_debit_account = 'in_flight' and p_credit_account = 'stripe_balance'
        when 'release' then p_debit_account = 'in_flight' and p_credit_account like 'payable:_%'
        when 'reversal' then
            p_debit_account = 'stripe_balance' and p_credit_account like 'payable:_%'
        else false
    end;
end
$$;
comment on function payout.accounts_fit(text, text, text) is
    'True when a ledger entry of this kind moves money between the accounts that it should.';
-- end frozen: procedures/ledger/accounts_fit.sql

-- frozen: procedures/scheduling/check_settlement.sql 4971a7231faf
-- check_settlement: whether a complete settlement can be paid out as it stands.
--
-- One look at the lines; only when something is wrong do the refuse functions
-- look again to say what.
-- Raises: SP305 currency; SP308 metadata; SP303 the lines do not add up; SP301,
-- SP302 payees; SP304, SP306 amounts.

create or replace function payout.check_settlement(p_settlement payout.settlements)
returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_lines_minor numeric;
    v_transfers integer;
    v_has_problem boolean;
begin
    select
        sum(o.amount_minor), count(*)::integer,
        bool_or(
            o.amount_minor > c.largest_amount_minor
            or o.amount_minor % c.amount_step <> 0
            or not exists (
                select from payout.payee_accounts as a where a.payee_id = o.payee_id
            ))
    into v_lines_minor, v_transfers, v_has_problem
    from (
        select l.payee_id, sum(l.amount_minor) as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ) as o
    join payout.currencies as c on c.currency = p_settlement.currency;

    if v_has_problem is not false
        or v_lines_minor is distinct from p_settlement.total_minor
        or p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
        perform payout.refuse_bad_total(p_settlement);
        perform payout.refuse_bad_payees(p_settlement.settlement_id);
        perform payout.refuse_bad_amounts(p_settlement.settlement_id, p_settlement.currency);
    end if;
    return v_transfers;
end
$$;
comment on function payout.check_settlement(payout.settlements) is
    'Refuses a settlement that cannot be paid out (SP301 to SP306, SP308); returns how many '
    'transfers it makes.';
-- end frozen: procedures/scheduling/check_settlement.sql

-- dropped: procedures/scheduling/read_lines.sql
drop function if exists payout.read_lines(payout.external_id, jsonb);
-- end dropped: procedures/scheduling/read_lines.sql

-- frozen: procedures/scheduling/read_lines.sql bda55c596437
-- read_lines: the lines of a settlement out of the JSON that complete_settlement takes.
--
-- Raises: SP309 not an array of such objects, naming the element.

create or replace function payout.read_lines(p_settlement_id text, p_lines jsonb)
returns setof payout.settlement_lines
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

    return query
    select p_settlement_id::payout.external_id, l.line_id::payout.external_id,
        l.payee_id::payout.external_id, l.amount_minor, l.source_transaction
    from jsonb_to_recordset(p_lines) as l (
        line_id text, payee_id text, amount_minor bigint, source_transaction text);
end
$$;
comment on function payout.read_lines(text, jsonb) is
    'The lines of a settlement given as JSON, or an error that names the wrong one (SP309).';
-- end frozen: procedures/scheduling/read_lines.sql

-- frozen: procedures/scheduling/schedule_payout_job.sql e342d499eec4
-- schedule_payout_job: the one payout job of a complete settlement.
--
-- Called by: the settlement trigger at commit, and complete_settlement.
-- Safe to repeat: a settlement that has its job keeps it, nothing is written.
-- Locks: the settlement's row, so that concurrent events make one job.
-- Raises: SP310 unknown settlement; SP202 still pending; SP301 to SP308.

create or replace function payout.schedule_payout_job(p_settlement_id text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
    v_payout_job_id bigint;
    v_transfers integer;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    if not found then
        raise exception 'settlement % does not exist', p_settlement_id
            using errcode = 'SP310';
    end if;

    select j.payout_job_id into v_payout_job_id
    from payout.payout_jobs as j
    where j.settlement_id = p_settlement_id;

    if found then
        return v_payout_job_id;
    end if;

    if v_settlement.state <> 'complete' then
        raise exception 'settlement % is still pending', p_settlement_id
            using
                errcode = 'SP202',
                hint = 'Set its state to complete; that schedules its payouts.';
    end if;

    v_transfers := payout.check_settlement(v_settlement);

    insert into payout.payout_jobs (settlement_id)
    values (p_settlement_id)
    returning payout_job_id into v_payout_job_id;

    perform payout.create_transfers(
        v_settlement, v_payout_job_id,
        payout.ring_for_job(v_payout_job_id, v_transfers, v_settlement.pay_after));

    return v_payout_job_id;
end
$$;
comment on function payout.schedule_payout_job(text) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable.';
-- end frozen: procedures/scheduling/schedule_payout_job.sql

-- dropped: procedures/scheduling/settlement_difference.sql
drop function if exists payout.settlement_difference(payout.settlements, text, jsonb, timestamptz, jsonb);
-- end dropped: procedures/scheduling/settlement_difference.sql

-- frozen: procedures/scheduling/settlement_difference.sql 8ac8bb1781c9
-- settlement_difference: in what a stored settlement differs from one that is told again.

create or replace function payout.settlement_difference(
    p_settlement payout.settlements,
    p_currency text,
    p_lines payout.settlement_lines[],
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
                select l.*
                from payout.settlement_lines as l
                where l.settlement_id = p_settlement.settlement_id
            ) as o
            full join unnest(p_lines) as n on n.line_id = o.line_id
            where o is distinct from n
            order by coalesce(o.line_id, n.line_id)
            limit 1
        ))
$$;
comment on function payout.settlement_difference(
    payout.settlements, text, payout.settlement_lines[], timestamptz, jsonb
) is 'Names the parts that differ, for lines the first one; empty when nothing differs.';
-- end frozen: procedures/scheduling/settlement_difference.sql

-- frozen: procedures/scheduling/tg_settlements__schedule_payout_job.sql 03cf64db25f5
-- tg_settlements__schedule_payout_job: a settlement that commits as complete has its payouts.
--
-- Deferred to the commit, so that settlement and lines may come in any order.
-- It stays ORIGIN, unlike the guards: a replica or a restore must not pay again.
-- Definer: the application may write settlements, but no jobs or transfers.
-- Raises: what schedule_payout_job raises; the commit then fails as a whole.

create or replace function payout.tg_settlements__schedule_payout_job()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    -- It may have been scheduled or deleted again since the event was queued.
    if not exists (select from payout.payout_jobs as j where j.settlement_id = new.settlement_id)
        and exists (
            select from payout.settlements as s where s.settlement_id = new.settlement_id
        ) then
        perform payout.schedule_payout_job(new.settlement_id);
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
    when (new.state = 'complete')
    execute function payout.tg_settlements__schedule_payout_job();
-- end frozen: procedures/scheduling/tg_settlements__schedule_payout_job.sql

-- frozen: procedures/scheduling/transfer_request.sql 472c05f2eb79
-- transfer_request: the parameters of POST /v1/transfers for one transfer.
--
-- Nothing volatile is in it: a retry must repeat it to the letter. Stripe sets
-- transfer_group itself when source_transaction is given, so it is left out then.

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
begin
    return jsonb_build_object(
        'amount', p_amount_minor,
        'currency', p_settlement.currency,
        'destination', p_destination,
        'metadata', p_settlement.metadata || jsonb_build_object(
            'payout_ref', p_payout_ref,
            'settlement_id', p_settlement.settlement_id,
            'payee_id', p_payee_id)
    ) || case
        when p_source_transaction is null then jsonb_build_object('transfer_group', p_payout_ref)
        else jsonb_build_object('source_transaction', p_source_transaction)
    end;
end
$$;
comment on function payout.transfer_request(
    text, payout.settlements, text, text, bigint, text
) is 'The request that pays one payee, as it is frozen in payout_transfers and sent to Stripe.';
-- end frozen: procedures/scheduling/transfer_request.sql

-- frozen: procedures/api/app/complete_settlement.sql c26f68c186d8
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
    v_settlement payout.settlements;
    v_lines payout.settlement_lines[] := array(
        select l from payout.read_lines(p_settlement_id, p_lines) as l);
    v_difference text;
begin
    -- The caller may have made all constraints immediate; the lines come after.
    set constraints payout._900_schedule_payout_job deferred;

    insert into payout.settlements (
        settlement_id, currency, total_minor, state, pay_after, metadata)
    select p_settlement_id, p_currency, sum(l.amount_minor), 'complete', p_pay_after, p_metadata
    from unnest(v_lines) as l
    on conflict (settlement_id) do nothing;

    if found then
        insert into payout.settlement_lines
        select l.* from unnest(v_lines) as l;
        return payout.schedule_payout_job(p_settlement_id);
    end if;

    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    v_difference := payout.settlement_difference(
        v_settlement, p_currency, v_lines, p_pay_after, p_metadata);
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

-- frozen: procedures/api/worker/claim_transfers.sql 9e69d718c747
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

-- dropped: procedures/scheduling/create_transfers.sql
drop function if exists payout.create_transfers(payout.settlements, bigint);
-- end dropped: procedures/scheduling/create_transfers.sql

-- frozen: procedures/scheduling/create_transfers.sql 30987e65bc73
-- create_transfers: what a scheduled settlement owes, as transfers, progress and books.
--
-- One statement for all payees, so that a settlement of ten thousand costs
-- little more than its rows.

create or replace function payout.create_transfers(
    p_settlement payout.settlements, p_payout_job_id bigint, p_doorbell_ids bigint[]
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    with owed as (
        select
            l.payee_id,
            l.source_transaction,
            sum(l.amount_minor)::bigint as amount_minor,
            payout.payout_ref(p_settlement.settlement_id, l.payee_id, l.source_transaction)
                as payout_ref
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ), transfers as (
        insert into payout.payout_transfers (
            payout_job_id, settlement_id, payee_id, source_transaction, destination,
            amount_minor, currency, payout_ref, request)
        select
            p_payout_job_id, p_settlement.settlement_id, o.payee_id, o.source_transaction,
            a.stripe_account_id, o.amount_minor, p_settlement.currency, o.payout_ref,
            payout.transfer_request(
                o.payout_ref, p_settlement, o.payee_id, a.stripe_account_id,
                o.amount_minor, o.source_transaction)
        from owed as o
        cross join lateral (
            select pa.stripe_account_id
            from payout.payee_accounts as pa
            where pa.payee_id = o.payee_id
            order by pa.payee_account_id desc
            limit 1
        ) as a
        order by o.payee_id, o.source_transaction
        returning payout_transfer_id, payee_id, amount_minor, currency
    ), states as (
        -- The bells are shared out evenly; without any the sweep will ring.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, now()),
            p_doorbell_ids[1 + (row_number() over (order by t.payout_transfer_id) - 1)
                * cardinality(p_doorbell_ids) / count(*) over ()]
        from transfers as t
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select
        t.payout_transfer_id, e.kind, 1, e.debit_account, e.credit_account, t.amount_minor,
        t.currency
    from transfers as t
    cross join lateral (values
        ('obligation', 'settlement_funds', 'payable:' || t.payee_id),
        ('reserve', 'payable:' || t.payee_id, 'in_flight')
    ) as e (kind, debit_account, credit_account)
    order by t.payout_transfer_id, e.kind;
end
$$;
comment on function payout.create_transfers(payout.settlements, bigint, bigint[]) is
    'Writes the transfers of a settlement, their progress rows with their bells, and the books.';
-- end frozen: procedures/scheduling/create_transfers.sql

-- frozen: procedures/api/operator/doctor.sql dd51fa05b3fe
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
$$;
comment on function payout_api.doctor() is
    'Checks server, guards, queue and books; hint says what to do where is_ok is false.';
revoke execute on function payout_api.doctor() from public;
grant execute on function payout_api.doctor() to payout_worker, payout_operator, payout_auditor;
-- end frozen: procedures/api/operator/doctor.sql

-- frozen: procedures/doorbell/ring_for_job.sql 545b63c6a587
-- ring_for_job: ring once for every so many transfers of a job that is being scheduled.
--
-- Nothing rings before pay_after: the queue's fetch would walk past it each time.

create or replace function payout.ring_for_job(
    p_payout_job_id bigint, p_transfers integer, p_pay_after timestamptz
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_pay_after > now() then
        return '{}'::bigint[];
    end if;
    if p_transfers = 1 then
        return payout.defer_job(p_payout_job_id, 1);
    end if;
    return payout.defer_job(p_payout_job_id, (
        select (p_transfers + e.transfers_per_doorbell - 1) / e.transfers_per_doorbell
        from payout.engine_settings as e));
end
$$;
comment on function payout.ring_for_job(bigint, integer, timestamptz) is
    'Defers the queue jobs of a new payout job, one for each transfers_per_doorbell (of '
    'engine_settings) transfers; none before pay_after.';
-- end frozen: procedures/doorbell/ring_for_job.sql

-- dropped: procedures/doorbell/is_waiting.sql
drop function if exists payout.is_waiting(bigint);
-- end dropped: procedures/doorbell/is_waiting.sql

-- dropped: procedures/doorbell/hear_doorbell.sql
drop function if exists payout.hear_doorbell();
-- end dropped: procedures/doorbell/hear_doorbell.sql

-- dropped: procedures/doctor/check_references.sql
drop function if exists payout.check_references();
-- end dropped: procedures/doctor/check_references.sql

-- dropped: procedures/ledger/entry_fits.sql
drop function if exists payout.entry_fits(payout.ledger_entries);
-- end dropped: procedures/ledger/entry_fits.sql

-- dropped: procedures/scheduling/total_minor.sql
drop function if exists payout.total_minor(payout.settlement_lines[]);
-- end dropped: procedures/scheduling/total_minor.sql

-- dropped: procedures/scheduling/refuse_bad_lines.sql
drop function if exists payout.refuse_bad_lines(jsonb);
-- end dropped: procedures/scheduling/refuse_bad_lines.sql

-- dropped: procedures/scheduling/owed_transfers.sql
drop function if exists payout.owed_transfers(payout.settlements);
-- end dropped: procedures/scheduling/owed_transfers.sql

-- dropped: procedures/scheduling/first_lines.sql
drop function if exists payout.first_lines(text);
-- end dropped: procedures/scheduling/first_lines.sql

-- dropped: procedures/scheduling/create_transfer.sql
drop function if exists payout.create_transfer(payout.settlements, bigint, payout.settlement_lines);
-- end dropped: procedures/scheduling/create_transfer.sql

-- dropped: procedures/scheduling/create_payout_job.sql
drop function if exists payout.create_payout_job(payout.settlements, payout.settlement_lines[]);
-- end dropped: procedures/scheduling/create_payout_job.sql

-- dropped: procedures/guards/transfer_fits.sql
drop function if exists payout.transfer_fits(payout.payout_transfers);
-- end dropped: procedures/guards/transfer_fits.sql

-- dropped: procedures/guards/refuse_row.sql
drop function if exists payout.refuse_row(text, text);
-- end dropped: procedures/guards/refuse_row.sql

-- dropped: procedures/guards/progress_fits.sql
drop function if exists payout.progress_fits(payout.transfer_states);
-- end dropped: procedures/guards/progress_fits.sql

-- dropped: procedures/guards/check_lines_of.sql
drop function if exists payout.check_lines_of(text[], boolean);
-- end dropped: procedures/guards/check_lines_of.sql

drop domain payout.positive_minor;
drop domain payout.settlement_state;
drop domain payout.moment;
drop domain payout.metadata;
drop domain payout.source_transaction_id;

alter table payout.payout_transfers
    add constraint payout_transfers_payout_job_id_fkey
        foreign key (payout_job_id) references payout.payout_jobs (payout_job_id),
    add constraint payout_transfers_payee_id_fkey
        foreign key (payee_id) references payout.payees (payee_id),
    add constraint amount_is_positive check (amount_minor > 0),
    add constraint destination_is_a_stripe_account check (destination ~ '^acct_'),
    add constraint payout_ref_is_derived
        check (payout_ref = payout.payout_ref(settlement_id, payee_id, source_transaction)),
    add constraint request_says_what_the_row_says
        check (payout.request_fits(
            request, amount_minor, currency, destination, payout_ref, settlement_id, payee_id,
            source_transaction));
alter table payout.payout_jobs
    add constraint payout_jobs_settlement_id_fkey
        foreign key (settlement_id) references payout.settlements (settlement_id);
alter table payout.transfer_states
    add constraint transfer_states_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    add constraint generation_counts_from_one check (generation >= 1),
    add constraint attempt_counts_from_zero check (attempt >= 0),
    add constraint tries_count_from_zero check (tries >= 0),
    add constraint cancelled_was_never_attempted check (state <> 'cancelled' or attempt = 0),
    add constraint only_in_flight_has_a_lease
        check ((state = 'in_flight') = (lease_until is not null)),
    add constraint in_flight_has_been_sent
        check (state <> 'in_flight' or first_sent_at is not null),
    add constraint paid_names_its_transfer
        check ((state = 'paid') = (stripe_transfer_id is not null)),
    add constraint waiting_names_its_next_attempt
        check (state not in ('scheduled', 'retry_wait', 'unknown') or next_attempt_at is not null),
    add constraint resting_has_no_next_attempt
        check (state not in ('in_flight', 'parked', 'paid', 'cancelled')
            or next_attempt_at is null),
    add constraint parked_and_failed_say_why
        check (state not in ('parked', 'failed') or reason is not null);
alter table payout.ledger_entries
    add constraint ledger_entries_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    add constraint amount_is_positive check (amount_minor > 0),
    add constraint only_reversals_name_a_reversal
        check ((kind = 'reversal') = (stripe_reversal_id is not null)),
    add constraint obligation_is_of_the_first_generation
        check (kind <> 'obligation' or generation = 1),
    add constraint accounts_fit_the_kind
        check (payout.accounts_fit(kind, debit_account, credit_account));

reset role;
