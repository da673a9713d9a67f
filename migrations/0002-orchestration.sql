-- 0002-orchestration: schedule_payout_job and the settlement hook that calls it (05B)
-- depends: 0001-foundation

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

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

-- frozen: procedures/scheduling/create_transfers.sql 609a83b0c8c6
-- create_transfers: what a scheduled settlement owes, as transfers, progress and books.
--
-- One statement for all payees, so that a settlement of ten thousand costs
-- little more than its rows.

create or replace function payout.create_transfers(
    p_settlement payout.settlements, p_payout_job_id bigint
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
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, now())
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
comment on function payout.create_transfers(payout.settlements, bigint) is
    'Writes the transfers of a settlement, their progress rows, and obligation and reserve.';
-- end frozen: procedures/scheduling/create_transfers.sql

-- frozen: procedures/scheduling/metadata_problem.sql 13d3885e1ba0
-- metadata_problem: what keeps a settlement's metadata from being Stripe metadata.
--
-- Stripe takes 50 keys of up to 40 characters without square brackets and text
-- values of up to 500 (docs.stripe.com/api/metadata); three keys are ours.

create or replace function payout.metadata_problem(p_metadata jsonb)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_metadata = '{}' then null
        when jsonb_typeof(p_metadata) <> 'object' then 'is not an object'
        when (select count(*) from jsonb_object_keys(p_metadata)) > 47 then 'has over 47 keys'
        else (
            select c.problem
            from jsonb_each(p_metadata) as m
            cross join lateral (select case
                when m.key in ('payout_ref', 'settlement_id', 'payee_id')
                    then format('key %s is reserved', m.key)
                when length(m.key) not between 1 and 40
                    then format('key %s is not 1 to 40 characters long', left(m.key, 60))
                when m.key ~ '[][]' then format('key %s has a square bracket', m.key)
                when jsonb_typeof(m.value) <> 'string' then format('value of %s is not text', m.key)
                when length(m.value #>> '{}') not between 1 and 500
                    then format('value of %s is not 1 to 500 characters long', m.key)
            end) as c (problem)
            where c.problem is not null
            order by m.key
            limit 1
        )
    end
$$;
comment on function payout.metadata_problem(jsonb) is
    'Why Stripe would refuse this metadata beside our own three keys; null when it would not.';
-- end frozen: procedures/scheduling/metadata_problem.sql

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

-- frozen: procedures/scheduling/refuse_bad_amounts.sql 647d9314bcbb
-- refuse_bad_amounts: every transfer of a settlement has an amount that Stripe takes.
--
-- Raises: SP304 more than one transfer can carry; SP306 not a multiple of the step.

create or replace function payout.refuse_bad_amounts(p_settlement_id text, p_currency text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_transfer record;
begin
    select l.payee_id, sum(l.amount_minor) as amount_minor, c.largest_amount_minor, c.amount_step
    into v_transfer
    from payout.settlement_lines as l
    join payout.currencies as c on c.currency = p_currency
    where l.settlement_id = p_settlement_id
    group by l.payee_id, l.source_transaction, c.largest_amount_minor, c.amount_step
    having sum(l.amount_minor) > c.largest_amount_minor or sum(l.amount_minor) % c.amount_step <> 0
    order by l.payee_id
    limit 1;

    if not found then
        return;
    end if;
    if v_transfer.amount_minor > v_transfer.largest_amount_minor then
        raise exception 'settlement %, payee %: % is more than one transfer can carry (% %)',
            p_settlement_id, v_transfer.payee_id, v_transfer.amount_minor,
            v_transfer.largest_amount_minor, p_currency
            using
                errcode = 'SP304',
                hint = 'Split it over several settlements.';
    end if;
    raise exception 'settlement %, payee %: % is not a multiple of % as Stripe asks for %',
        p_settlement_id, v_transfer.payee_id, v_transfer.amount_minor,
        v_transfer.amount_step, p_currency
        using
            errcode = 'SP306',
            hint = 'payout.currencies.amount_step says which amounts a currency knows.';
end
$$;
comment on function payout.refuse_bad_amounts(text, text) is
    'Refuses a settlement with a transfer too large (SP304) or off the currency''s step (SP306).';
-- end frozen: procedures/scheduling/refuse_bad_amounts.sql

-- frozen: procedures/scheduling/refuse_bad_header.sql de732cf9df77
-- refuse_bad_header: a settlement's currency and metadata are such as Stripe takes.
--
-- Raises: SP305 unsupported currency; SP308 metadata.

create or replace function payout.refuse_bad_header(p_settlement payout.settlements)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := payout.metadata_problem(p_settlement.metadata);
begin
    if not exists (
        select from payout.currencies as c where c.currency = p_settlement.currency
    ) then
        raise exception 'settlement %: currency % is not supported',
            p_settlement.settlement_id, p_settlement.currency
            using
                errcode = 'SP305',
                hint = 'payout.currencies lists those that Stripe transfers.';
    end if;
    if v_problem is not null then
        raise exception 'settlement %: metadata %', p_settlement.settlement_id, v_problem
            using
                errcode = 'SP308',
                hint = 'Stripe takes 50 keys of 40 characters, text values of 500; three are ours.';
    end if;
end
$$;
comment on function payout.refuse_bad_header(payout.settlements) is
    'Refuses a settlement for its currency (SP305) or metadata (SP308).';
-- end frozen: procedures/scheduling/refuse_bad_header.sql

-- frozen: procedures/scheduling/refuse_bad_payees.sql 386e7511ec11
-- refuse_bad_payees: every payee of a settlement is known and has a Stripe account.
--
-- Raises: SP301 unknown payee; SP302 payee without a Stripe account.

create or replace function payout.refuse_bad_payees(p_settlement_id text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_line record;
begin
    select l.line_id, l.payee_id, p.payee_id is not null as is_registered into v_line
    from payout.settlement_lines as l
    left join payout.payees as p on p.payee_id = l.payee_id
    where l.settlement_id = p_settlement_id
        and not exists (
            select from payout.payee_accounts as a where a.payee_id = l.payee_id
        )
    order by l.line_id
    limit 1;

    if not found then
        return;
    end if;
    if not v_line.is_registered then
        raise exception 'settlement %, line %: payee % is unknown',
            p_settlement_id, v_line.line_id, v_line.payee_id
            using
                errcode = 'SP301',
                hint = 'Call payout_api.register_payee first.';
    end if;
    raise exception 'settlement %, line %: payee % has no Stripe account',
        p_settlement_id, v_line.line_id, v_line.payee_id
        using
            errcode = 'SP302',
            hint = 'Call payout_api.register_payee with p_stripe_account_id first.';
end
$$;
comment on function payout.refuse_bad_payees(text) is
    'Refuses a settlement with a payee that is unknown (SP301) or has no Stripe account (SP302).';
-- end frozen: procedures/scheduling/refuse_bad_payees.sql

-- frozen: procedures/scheduling/refuse_bad_total.sql 80afc9875bed
-- refuse_bad_total: the lines of a settlement add up to its total.
--
-- Raises: SP303 they do not.

create or replace function payout.refuse_bad_total(p_settlement payout.settlements)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lines_minor numeric;
begin
    select coalesce(sum(l.amount_minor), 0) into v_lines_minor
    from payout.settlement_lines as l
    where l.settlement_id = p_settlement.settlement_id;

    if v_lines_minor <> p_settlement.total_minor then
        raise exception 'settlement %: lines add up to %, total_minor is %, difference %',
            p_settlement.settlement_id, v_lines_minor, p_settlement.total_minor,
            p_settlement.total_minor - v_lines_minor
            using
                errcode = 'SP303',
                hint = 'Insert every line in the transaction that completes the settlement.';
    end if;
end
$$;
comment on function payout.refuse_bad_total(payout.settlements) is
    'Refuses a settlement whose lines do not add up (SP303), naming the difference.';
-- end frozen: procedures/scheduling/refuse_bad_total.sql

-- frozen: procedures/scheduling/schedule_payout_job.sql 15098b944e25
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

    perform payout.check_settlement(v_settlement);

    insert into payout.payout_jobs (settlement_id)
    values (p_settlement_id)
    returning payout_job_id into v_payout_job_id;

    perform payout.create_transfers(v_settlement, v_payout_job_id);

    return v_payout_job_id;
end
$$;
comment on function payout.schedule_payout_job(text) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable.';
-- end frozen: procedures/scheduling/schedule_payout_job.sql

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

-- frozen: procedures/api/app/register_payee.sql 79736dbc33da
-- register_payee: make a payee known and say to which Stripe account it is paid.
--
-- Called by: the application, as often as it likes.
-- Safe to repeat: the same account again writes nothing.
-- Locks: the payee's row, so that two changes at once have an order; not its key,
-- so that settlements of the payee do not wait.
-- Raises: 23514 an id or account that cannot be one.

create or replace function payout_api.register_payee(
    p_payee_id text, p_stripe_account_id text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_current text;
begin
    insert into payout.payees (payee_id)
    values (p_payee_id)
    on conflict (payee_id) do nothing;

    if p_stripe_account_id is null then
        return;
    end if;

    perform
    from payout.payees as p
    where p.payee_id = p_payee_id
    for no key update;

    select a.stripe_account_id into v_current
    from payout.payee_accounts as a
    where a.payee_id = p_payee_id
    order by a.payee_account_id desc
    limit 1;

    if v_current is distinct from p_stripe_account_id then
        insert into payout.payee_accounts (payee_id, stripe_account_id)
        values (p_payee_id, p_stripe_account_id);
    end if;
end
$$;
comment on function payout_api.register_payee(text, text) is
    'Registers a payee; with an account, records it as the one to pay from now on. Repeatable; '
    'transfers already scheduled keep their account.';
revoke execute on function payout_api.register_payee(text, text) from public;
grant execute on function payout_api.register_payee(text, text) to payout_app, payout_operator;
-- end frozen: procedures/api/app/register_payee.sql

-- frozen: sql/error_codes.sql 3823a01f0dbf
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
    ('SP402', 'another transaction came first: repeat this one', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_auditor;
-- end frozen: sql/error_codes.sql

-- frozen: sql/views/ledger_balances.sql d8eb3d69ae0e
-- ledger_balances: what stands on each account, in minor units.

create or replace view payout_api.ledger_balances as
select
    m.account,
    m.currency,
    sum(m.debit_minor)::bigint as debit_minor,
    sum(m.credit_minor)::bigint as credit_minor,
    (sum(m.credit_minor) - sum(m.debit_minor))::bigint as balance_minor
from (
    select e.debit_account as account, e.currency, e.amount_minor as debit_minor, 0 as credit_minor
    from payout.ledger_entries as e
    union all
    select e.credit_account, e.currency, 0, e.amount_minor
    from payout.ledger_entries as e
) as m
group by m.account, m.currency;
comment on view payout_api.ledger_balances is
    'Credit minus debit of every account and currency, in minor units. payable:<payee> is what is '
    'owed and not being sent, in_flight what is being sent, stripe_balance what Stripe has moved.';
grant select on payout_api.ledger_balances to payout_operator, payout_auditor;
-- end frozen: sql/views/ledger_balances.sql

-- frozen: sql/views/trial_balance.sql e063d0339340
-- trial_balance: the books of each currency, which always add up to zero.

create or replace view payout_api.trial_balance as
select
    b.currency,
    sum(b.debit_minor)::bigint as debit_minor,
    sum(b.credit_minor)::bigint as credit_minor,
    sum(b.balance_minor)::bigint as difference_minor,
    coalesce(sum(b.balance_minor) filter (where b.account = 'in_flight'), 0)::bigint
        as in_flight_minor,
    (
        select coalesce(sum(t.amount_minor), 0)::bigint
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where t.currency = b.currency
            and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked')
    ) as open_transfers_minor
from payout_api.ledger_balances as b
group by b.currency;
comment on view payout_api.trial_balance is
    'Per currency: difference_minor is zero, and in_flight_minor equals open_transfers_minor, the '
    'sum of the transfers that are neither paid, failed nor cancelled. Anything else is a bug.';
grant select on payout_api.trial_balance to payout_operator, payout_auditor;
-- end frozen: sql/views/trial_balance.sql

reset role;
