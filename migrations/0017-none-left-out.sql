-- 0017-none-left-out: Refuse a settlement of which a line is left out, whatever comes between two looks.
-- depends: 0016-bells-of-others

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: procedures/guards/check_lines_of.sql bee0d0117e18
-- check_lines_of: whether settlements written by others, or not yet at all, may have these lines.
--
-- A line of a pending settlement writes that row, so that whoever completes it
-- with an older snapshot fails (40001) instead of missing the line. Lines whose
-- settlement was not found and locked are looked at once more at commit
-- (lines_ahead), also if it has come since.
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
    v_found_ids text[];
    v_has_older boolean;
    v_frozen_id text;
begin
    select coalesce(array_agg(l.settlement_id), '{}'::text[]), coalesce(bool_or(l.is_older), false)
    into v_found_ids, v_has_older
    from (
        select s.settlement_id::text,
            s.state = 'pending' and s.xmin <> pg_current_xact_id()::xid as is_older
        from payout.settlements as s
        where s.settlement_id = any (p_settlement_ids)
        order by s.settlement_id
        for no key update
    ) as l;

    if cardinality(v_found_ids) < cardinality(p_settlement_ids) then
        insert into payout.lines_ahead (settlement_id)
        select i.settlement_id::payout.external_id
        from (
            select unnest(p_settlement_ids)
            except
            select unnest(v_found_ids)
        ) as i (settlement_id)
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

-- frozen: procedures/guards/id_fits.sql 304b740282cc
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

-- frozen: procedures/guards/tg_lines_ahead__check_settlement.sql 39b43a4c866a
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
begin
    delete from payout.lines_ahead as a where a.settlement_id = new.settlement_id;

    -- Held from the first look on: what comes after it is no settlement of these lines.
    perform from payout.settlements as s
    where s.settlement_id = new.settlement_id
    for no key update;
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

    -- Written, so that whoever completes it with an older snapshot fails.
    update payout.settlements as s
    set state = s.state
    where s.settlement_id = new.settlement_id
        and s.state = 'pending'
        and s.xmin <> pg_current_xact_id()::xid;

    perform from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = new.settlement_id
        and s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = new.settlement_id
        );
    if found then
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

-- frozen: procedures/scheduling/create_payout_job.sql 1b33ae947376
-- create_payout_job: the payout job of a settlement, with its transfers and their books.
--
-- Called by: whoever has written or locked the settlement's row in this transaction.
-- Safe to repeat: a settlement that has its job keeps it; the unique key decides races.
-- What was made is checked as a whole; only if it is wrong is the reason looked for.
-- Raises: SP305, SP308 header; SP303 total; SP301, SP302 payees; SP304, SP306 amounts;
-- SP402 the reason is gone by now, as when a payee was registered meanwhile.

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
        if v_made_minor is distinct from p_settlement.total_minor then
            raise exception 'settlement %: payees or currencies changed while it was scheduled',
                p_settlement.settlement_id
                using
                    errcode = 'SP402',
                    hint = 'Repeat the transaction.';
        end if;
    end if;
    return v_payout_job_id;
end
$$;
comment on function payout.create_payout_job(payout.settlements, payout.settlement_lines[]) is
    'Schedules the payouts of a complete settlement whose row this transaction holds; returns the '
    'payout_job_id. Refuses one that cannot be paid out as it stands (SP301 to SP306, SP308) or '
    'has changed meanwhile (SP402).';
-- end frozen: procedures/scheduling/create_payout_job.sql

-- frozen: procedures/scheduling/create_transfers.sql 8014f38e41fc
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

-- frozen: procedures/api/app/complete_settlement.sql 49e9529b2b66
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

    insert into payout.settlements
    values (v_settlement.*)
    on conflict (settlement_id) do nothing;

    if found then
        insert into payout.settlement_lines
        select l.*
        from unnest(v_lines) as l;
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

-- frozen: procedures/api/operator/change_stripe_account.sql 3d1d9ed1f640
-- change_stripe_account: pay from another Stripe account or mode from now on; closes the gate.
--
-- Called by: operator, when the platform moves, or for a copy that is to pay in test mode.
-- Safe to repeat: naming the account that is fixed changes nothing.
-- Locks: payout.epochs, so that every claim is done before or sees the change.
-- Raises: SP320 no account, mode or reason; SP401 not read committed; SP411
-- (refuse_unsafe_account_change).

create or replace function payout_api.change_stripe_account(
    p_stripe_account_id text, p_is_livemode boolean, p_reason text
)
returns payout.engine_settings
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old payout.engine_settings;
    v_new payout.engine_settings;
begin
    if coalesce(p_stripe_account_id !~ '^acct_[A-Za-z0-9_]+$', true) or p_is_livemode is null
        or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot change the Stripe account to % for reason %',
            payout.name_stripe_account(p_stripe_account_id, p_is_livemode),
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP320',
                hint = 'Name the account (acct_…), whether it is live mode, and a reason.';
    end if;

    -- The lock shows what was handed out before it was granted only to a later snapshot.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'the Stripe account is not changed in a transaction that is %',
            current_setting('transaction_isolation')
            using
                errcode = 'SP401',
                hint = 'begin isolation level read committed';
    end if;
    lock table payout.epochs in access exclusive mode;
    select * into strict v_old from payout.engine_settings for update;
    if (v_old.stripe_account_id, v_old.is_livemode) = (p_stripe_account_id, p_is_livemode) then
        return v_old;
    end if;

    perform payout.refuse_unsafe_account_change(v_old, p_is_livemode);
    update payout.engine_settings as e
    set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode
    returning * into v_new;
    insert into payout.operator_actions (action, subject, reason, details)
    values ('change_stripe_account', p_stripe_account_id, p_reason, jsonb_build_object(
        'is_livemode', p_is_livemode, 'old_stripe_account_id', v_old.stripe_account_id,
        'old_is_livemode', v_old.is_livemode));
    if v_old.stripe_account_id is not null then
        insert into payout.epochs (reason) values ('Stripe account changed: ' || p_reason);
    end if;
    return v_new;
end
$$;
comment on function payout_api.change_stripe_account(text, boolean, text) is
    'Fixes another Stripe account or mode, with a reason, and closes the gate until it is opened.';
revoke execute on function payout_api.change_stripe_account(text, boolean, text) from public;
grant execute on function payout_api.change_stripe_account(text, boolean, text) to payout_operator;
-- end frozen: procedures/api/operator/change_stripe_account.sql

-- frozen: procedures/api/operator/doctor.sql f1200ef1e529
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

-- frozen: procedures/api/operator/open_gate.sql b348583c2c1e
-- open_gate: adopt the database in the place where it is now; transfers are handed out again.
--
-- Called by: operator, after a restore, a promotion or a clone (docs/restore.md).
-- Safe to repeat: an open gate stays open, and nothing is recorded.
-- Locks: the row of settings, so that two people record one epoch.
-- A run knows nothing of what the old database sent after the run was begun: hence
-- it must have been begun within the last hour, however long it was under way; one
-- that was begun under a clock that has been set back since is of unknown age.
-- Raises: SP320 no reason; SP410 nothing was reconciled in this place, or not lately.

create or replace function payout_api.open_gate(
    p_reason text, p_without_reconcile boolean default false
)
returns payout.epochs
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
    v_here record;
    v_epoch payout.epochs;
    v_run_id bigint;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'the gate is not opened without a reason'
            using
                errcode = 'SP320',
                hint = 'Say what happened to the database, and why it is the true one now.';
    end if;

    lock table payout.epochs in access share mode;
    perform from payout.engine_settings for update;
    v_problem := payout.gate_problem();
    select * into v_epoch from payout.epochs as e order by e.epoch_id desc limit 1;
    if v_problem is null then
        return v_epoch;
    end if;

    v_here := payout.where_we_are();
    select r.reconcile_run_id into v_run_id
    from payout.reconcile_runs as r
    where r.finished_at is not null
        and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)
            = (v_here.system_identifier, v_here.timeline_id, v_here.database_oid, v_here.table_oid)
        and (v_epoch.epoch_id is null or r.epoch_id >= v_epoch.epoch_id)
        and r.created_until between payout.clock() - interval '1 hour' and payout.clock()
    order by r.reconcile_run_id desc
    limit 1;
    if v_run_id is null and p_without_reconcile is not true then
        raise exception 'the gate stays closed: nothing was reconciled in this place lately'
            using
                errcode = 'SP410',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, then open the gate within an '
                    'hour of its start; or pass p_without_reconcile => true if nothing can have '
                    'been forgotten.';
    end if;

    insert into payout.epochs (
        system_identifier, timeline_id, database_oid, table_oid, reconcile_run_id, reason)
    values (v_here.system_identifier, v_here.timeline_id, v_here.database_oid, v_here.table_oid,
        v_run_id, p_reason)
    returning * into v_epoch;
    insert into payout.operator_actions (action, reason, details)
    values ('open_gate', p_reason, jsonb_build_object('epoch_id', v_epoch.epoch_id,
        'reconcile_run_id', v_run_id, 'problem', v_problem));
    return v_epoch;
end
$$;
comment on function payout_api.open_gate(text, boolean) is
    'Adopts the database where it is now, with a reason, once a reconcile run that was begun '
    'within the last hour was finished here; p_without_reconcile does without one and is '
    'recorded. Safe to repeat.';
revoke execute on function payout_api.open_gate(text, boolean) from public;
grant execute on function payout_api.open_gate(text, boolean) to payout_operator;
-- end frozen: procedures/api/operator/open_gate.sql

-- frozen: procedures/api/operator/release_hold.sql a98ed12e061d
-- release_hold: let what was held be sent again.
--
-- Called by: operator.
-- Safe to repeat: releasing a released hold changes nothing.
-- Locks: the hold's row; waits for whoever relies on it and has not committed yet.
-- Raises: SP310 unknown hold; SP313 no reason; SP402 an alarm about the settlement came
-- while it waited.

create or replace function payout_api.release_hold(p_hold_id bigint, p_reason text)
returns payout.holds
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold payout.holds;
    v_known_ids bigint[];
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot release hold % without a reason', p_hold_id
            using
                errcode = 'SP313',
                hint = 'Say what was done about it.';
    end if;

    -- Whoever releases it has seen these at most.
    v_known_ids := array(
        select d.discrepancy_id
        from payout.holds as h
        join payout.payout_transfers as t on t.settlement_id = h.subject
        join payout.discrepancies as d on d.payout_transfer_id = t.payout_transfer_id
        where h.hold_id = p_hold_id and h.scope = 'settlement');

    select * into v_hold
    from payout.holds as h
    where h.hold_id = p_hold_id
    for update;

    if not found then
        raise exception 'hold % does not exist', p_hold_id
            using
                errcode = 'SP310',
                hint = 'select * from payout.holds where released_at is null';
    end if;

    if v_hold.released_at is not null then
        return v_hold;
    end if;

    if v_hold.scope = 'settlement' and exists (
        select from payout.payout_transfers as t
        join payout.discrepancies as d on d.payout_transfer_id = t.payout_transfer_id
        where t.settlement_id = v_hold.subject and d.discrepancy_id <> all (v_known_ids)
    ) then
        raise exception 'hold %: another alarm came meanwhile', p_hold_id
            using
                errcode = 'SP402',
                hint = 'Look at payout.discrepancies, then release it again.';
    end if;

    update payout.holds as h
    set released_at = payout.clock(),
        released_by = session_user,
        release_reason = p_reason
    where h.hold_id = p_hold_id
    returning * into v_hold;

    insert into payout.operator_actions (action, subject, reason, details)
    values ('release', concat_ws(' ', v_hold.scope, v_hold.subject), p_reason,
        jsonb_build_object('hold_id', p_hold_id));
    return v_hold;
end
$$;
comment on function payout_api.release_hold(bigint, text) is
    'Releases a hold with a reason; the sweep then rings for what is due. Safe to repeat.';
revoke execute on function payout_api.release_hold(bigint, text) from public;
grant execute on function payout_api.release_hold(bigint, text) to payout_operator;
-- end frozen: procedures/api/operator/release_hold.sql

-- frozen: procedures/api/worker/begin_reconcile.sql c425048d96af
-- begin_reconcile: begin to compare all of Stripe's transfers with the books, or go on with it.
--
-- Called by: worker. It only looks, so neither a hold nor the gate is asked.
-- Safe to repeat, and at once from many places: there is one run, and pages that
-- were taken stay taken.
-- Locks: payout.epochs, so that a run for an account is begun before it is changed.
-- Raises: SP404 (refuse_other_stripe_account); SP341 nobody's run.

create or replace function payout_api.begin_reconcile(
    p_worker text, p_stripe_account_id text, p_is_livemode boolean
)
returns table (
    reconcile_run_id bigint,
    query jsonb,
    starting_after text,
    transfers_seen bigint,
    transfers_expected bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    lock table payout.epochs in access share mode;
    perform payout.refuse_other_stripe_account(p_stripe_account_id, p_is_livemode);
    if coalesce(btrim(p_worker), '') = '' or p_stripe_account_id is null then
        perform payout.refuse_list(
            format('reconcile of %s by %s', coalesce(p_stripe_account_id, 'nothing'),
                coalesce(nullif(btrim(p_worker), ''), 'nobody')),
            'name the worker and its Stripe account');
    end if;

    -- Whoever finishes the run between two looks leaves none: hence a loop.
    loop
        return query
        select r.reconcile_run_id, payout.reconcile_query(r), r.next_cursor, r.transfers_seen,
            r.transfers_expected
        from payout.runs_of_this_place() as r
        where r.finished_at is null;
        exit when found;
        perform payout.start_run(p_worker);
    end loop;
end
$$;
comment on function payout_api.begin_reconcile(text, text, boolean) is
    'The run that goes on: parameters of GET /v1/transfers, the id after which its next page '
    'starts (null: from the newest), transfers seen so far, and how many these books expect.';
revoke execute on function payout_api.begin_reconcile(text, text, boolean) from public;
grant execute on function payout_api.begin_reconcile(text, text, boolean) to payout_worker;
-- end frozen: procedures/api/worker/begin_reconcile.sql

-- frozen: procedures/api/worker/claim_transfers.sql 21d4259c76ff
-- claim_transfers: hand a worker the transfers that are due, each under a lease.
--
-- Called by: worker. One call serves many transfers; nobody waits for anybody.
-- Not handed out: what is on hold, what was first sent under its key longer ago than
-- the send window (Stripe may have forgotten the key), what was seen at Stripe.
-- Raises: SP401 unsafe server; SP403, SP404 (refuse_closed_gate); SP311 limit out of range.

create or replace function payout_api.claim_transfers(
    p_worker text,
    p_limit integer default 100,
    p_payout_job_id bigint default null,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null
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
    v_due_ids bigint[];
    v_doorbell_ids bigint[];
begin
    perform payout.refuse_unsafe_server();
    perform payout.refuse_closed_gate(p_stripe_account_id, p_is_livemode);
    select * into strict v_settings from payout.engine_settings;

    if p_worker is null or coalesce(p_limit, 0) not between 1 and v_settings.largest_claim then
        raise exception 'claim of % transfers by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'nobody')
            using
                errcode = 'SP311',
                hint = format('Name the worker, ask for 1 to %s.', v_settings.largest_claim);
    end if;

    perform payout.hear_doorbell();
    if exists (
        select from payout.holds as h where h.scope = 'engine' and h.released_at is null
    ) then
        return;
    end if;

    select array_agg(d.payout_transfer_id), array_agg(distinct d.doorbell_id)
    into v_due_ids, v_doorbell_ids
    from payout.lock_due_transfers(
        v_now, v_now - v_settings.send_window_for, p_limit, p_payout_job_id) as d;
    perform payout.answer_doorbells(v_doorbell_ids);
    v_due_ids := payout.adopt_seen(v_due_ids);
    perform payout.note_first_claim(v_due_ids);
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
        where s.payout_transfer_id = any (v_due_ids)
        returning s.*
    ), opened as (
        insert into payout.transfer_attempts (
            payout_transfer_id, generation, attempt, worker, claimed_at, lease_until)
        select c.payout_transfer_id, c.generation, c.attempt, p_worker, v_now, c.lease_until
        from claimed as c
    )
    select
        c.payout_transfer_id, c.generation, c.attempt,
        t.payout_ref || ':' || c.generation, t.request,
        extract(epoch from v_settings.lease_for)::double precision,
        extract(epoch from v_settings.http_deadline_for)::double precision
    from claimed as c
    join payout.payout_transfers as t on t.payout_transfer_id = c.payout_transfer_id;
end
$$;
comment on function payout_api.claim_transfers(text, integer, bigint, text, boolean) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine is on hold. The Stripe account is that of the worker''s key. Seconds '
    'count from before the call.';
revoke execute on function payout_api.claim_transfers(text, integer, bigint, text, boolean)
    from public;
grant execute on function payout_api.claim_transfers(text, integer, bigint, text, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/claim_transfers.sql

-- frozen: procedures/api/worker/report_events_page.sql b9e4016ecc41
-- report_events_page: take a page of Stripe's events about reversed transfers.
--
-- Called by: worker. With the last page of a query the next one begins where it ended.
-- Safe to repeat: a page that was taken before changes nothing.
-- Raises: SP341 another query than was given out, a page out of order or malformed.

create or replace function payout_api.report_events_page(
    p_query jsonb, p_starting_after text, p_events jsonb, p_has_more boolean
)
returns table (events_new integer)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_problem text;
begin
    lock table payout.epochs in access share mode;
    if exists (
        select from payout.event_pages as p
        where p.query = p_query and p.starting_after is not distinct from p_starting_after
    ) then
        return query select 0;
        return;
    end if;
    v_problem := payout.events_page_problem(p_query, p_starting_after, p_events, p_has_more);
    if v_problem is not null then
        perform payout.refuse_list('events', v_problem);
    end if;

    insert into payout.event_pages (
        query, created_until, starting_after, last_id, has_more, events_seen)
    values (
        p_query, to_timestamp((p_query #>> '{created,lt}')::double precision), p_starting_after,
        coalesce(p_events -> -1 ->> 'id', p_starting_after), p_has_more,
        jsonb_array_length(p_events))
    on conflict do nothing;
    -- Another worker may have brought it meanwhile; what it says counts once all the same.
    return query select payout.take_events(p_events);
end
$$;
comment on function payout_api.report_events_page(jsonb, text, jsonb, boolean) is
    'Takes a page of events, as Stripe sent it, with the query that it answers; returns how many '
    'transfers were reversed further than was known.';
revoke execute on function payout_api.report_events_page(jsonb, text, jsonb, boolean) from public;
grant execute on function payout_api.report_events_page(jsonb, text, jsonb, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/report_events_page.sql

-- frozen: procedures/api/worker/report_outcomes.sql 874fa0057c81
-- report_outcomes: take what workers saw of Stripe, decide what it means, keep the books.
--
-- Called by: worker. One call serves many transfers.
-- Safe to repeat: a report that was taken before answers `already`.
-- Locks: the transfers' progress rows, in id order.
-- Raises: SP312 malformed outcomes; then nothing of the call is taken.

create or replace function payout_api.report_outcomes(p_outcomes jsonb)
returns table (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    verdict text,
    state text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_outcomes payout.outcome[] := payout.read_outcomes(p_outcomes);
    v_turns bigint[];
    v_known_ids bigint[];
begin
    v_known_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (array(
            select o.payout_transfer_id from unnest(v_outcomes) as o))
        order by s.payout_transfer_id
        for update);

    -- Two outcomes of one transfer are judged one after the other.
    v_turns := array(
        select row_number() over (partition by o.payout_transfer_id order by o.ordinality)
        from unnest(v_outcomes) with ordinality as o
        order by o.ordinality);
    -- So are all, if two name the same transfer at Stripe: one look would believe both.
    if (
        select count(o.stripe_transfer_id) > count(distinct o.stripe_transfer_id)
        from unnest(v_outcomes) as o
    ) then
        v_turns := array(select generate_series(1, cardinality(v_outcomes)));
    end if;

    for v_turn in 1 .. (
        select coalesce(max(t.turn), 0)::integer from unnest(v_turns) as t (turn)
    ) loop
        return query
        select * from payout.record_outcomes(array(
            select v_outcomes[i]
            from generate_subscripts(v_outcomes, 1) as i
            where v_turns[i] = v_turn and (v_outcomes[i]).payout_transfer_id = any (v_known_ids)));
    end loop;

    if exists (
        select from unnest(v_outcomes) as o where o.payout_transfer_id <> all (v_known_ids)
    ) then
        return query
        select * from payout.record_unknown_transfers(array(
            select v_outcomes[i]
            from generate_subscripts(v_outcomes, 1) as i
            where (v_outcomes[i]).payout_transfer_id <> all (v_known_ids)));
    end if;
end
$$;
comment on function payout_api.report_outcomes(jsonb) is
    'Takes an array of payout.outcome objects; answers ok, already, stale or alarm and the state '
    'for each. Every outcome is stored, whatever the answer.';
revoke execute on function payout_api.report_outcomes(jsonb) from public;
grant execute on function payout_api.report_outcomes(jsonb) to payout_worker;
-- end frozen: procedures/api/worker/report_outcomes.sql

-- frozen: procedures/api/worker/report_reconcile_page.sql 97208d7f0874
-- report_reconcile_page: take the next page of Stripe's list of transfers and compare it.
--
-- Called by: worker. With the last page the run is finished.
-- Safe to repeat: a page that was taken before changes nothing.
-- Locks: the run's row; the progress rows of transfers found, in id order.
-- Raises: SP341 unknown run, another query (refuse_other_query), a page out of order (with the
-- cursor expected) or malformed.

create or replace function payout_api.report_reconcile_page(
    p_reconcile_run_id bigint,
    p_query jsonb,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns table (transfers_seen bigint, discrepancies_found bigint, is_finished boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_run payout.reconcile_runs;
    v_problem text;
begin
    lock table payout.epochs in access share mode;
    select * into v_run
    from payout.reconcile_runs as r
    where r.reconcile_run_id = p_reconcile_run_id
    for update;
    if found then
        perform payout.refuse_other_query(
            format('reconcile run %s', p_reconcile_run_id), p_query,
            payout.reconcile_query(v_run));
    end if;

    if not exists (
        select from payout.reconcile_pages as p
        where p.reconcile_run_id = p_reconcile_run_id
            and (p.starting_after = p_starting_after
                or (p.page_number = 1 and p_starting_after is null))
    ) then
        v_problem := payout.reconcile_page_problem(
            v_run, p_starting_after, p_transfers, p_has_more);
        if v_problem is not null then
            perform payout.refuse_list(
                format('reconcile run %s', coalesce(p_reconcile_run_id::text, 'null')), v_problem);
        end if;
        v_run := payout.add_reconcile_page(v_run, p_starting_after, p_transfers, p_has_more);
    end if;
    return query
    select v_run.transfers_seen, v_run.discrepancies_found, v_run.finished_at is not null;
end
$$;
comment on function payout_api.report_reconcile_page(bigint, jsonb, text, jsonb, boolean) is
    'Takes a page of a run, as Stripe sent it, with the query that it answers; returns what the '
    'run has seen and found so far, and whether it is finished.';
revoke execute on function payout_api.report_reconcile_page(bigint, jsonb, text, jsonb, boolean)
    from public;
grant execute on function payout_api.report_reconcile_page(bigint, jsonb, text, jsonb, boolean)
    to payout_worker;
-- end frozen: procedures/api/worker/report_reconcile_page.sql

-- frozen: procedures/api/worker/sweep.sql cbae19d2a44e
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
    v_now timestamptz;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'sweep of % transfers', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;
    -- First, while the sweep has locked no transfer yet.
    perform payout_api.seal();
    v_now := payout.clock();
    return query
    select
        payout.expire_leases(v_now, p_limit),
        payout.park_expired_keys(v_now, p_limit),
        payout.reopen_failed(v_now, p_limit),
        payout.ring_doorbells(v_now, p_limit);
end
$$;
comment on function payout_api.sweep(integer) is
    'Closes leases that ran out, parks what is too old to send, opens new keys where rule K '
    'allows, rings for what is due; up to p_limit of each. Returns how many. It also seals.';
revoke execute on function payout_api.sweep(integer) from public;
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
-- end frozen: procedures/api/worker/sweep.sql

-- frozen: procedures/doctor/check_books.sql 5d53553f4737
-- check_books: whether the books agree with the transfers, and hold no secret.

create or replace function payout.check_books()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'books balance', count(*) = 0,
        coalesce(string_agg(b.currency, ', '), 'every currency'),
        'payout_api.hold(''engine'', …) and select * from payout_api.trial_balance'
    from payout_api.trial_balance as b
    where b.difference_minor <> 0 or b.in_flight_minor <> b.open_transfers_minor
    union all
    select 'no discrepancy is open', count(*) = 0,
        coalesce(string_agg(distinct d.kind, ', '), 'none'),
        'select * from payout.discrepancies where resolved_at is null'
    from payout.discrepancies as d
    where d.resolved_at is null
    union all
    select 'no secret in any row', count(*) = 0,
        coalesce(string_agg(distinct x.place, ', '), 'settlements, observations, actions, holds'),
        'revoke that key at Stripe, then find out who wrote it'
    from (
        select 'settlements.metadata', s.metadata::text from payout.settlements as s
        union all
        select 'transfer_observations',
            concat_ws(' ', o.facts, o.error_code, o.error_type, o.reason, o.stripe_request_id)
        from payout.transfer_observations as o
        union all
        select 'operator_actions', concat_ws(' ', a.reason, a.subject, a.details)
        from payout.operator_actions as a
        union all
        select 'holds', concat_ws(' ', h.reason, h.subject, h.release_reason)
        from payout.holds as h
        union all
        select 'discrepancies', concat_ws(' ', d.ours, d.theirs, d.resolution)
        from payout.discrepancies as d
    ) as x (place, content)
    where x.content ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;
comment on function payout.check_books() is
    'Part of payout_api.doctor(): books and transfers agree, no secret is stored.';
-- end frozen: procedures/doctor/check_books.sql

-- frozen: procedures/doctor/check_rights.sql 73cd8f5f896a
-- check_rights: whether somebody was given more than the migrations gave.
--
-- Rights to read are nobody's harm; every other that given_rights finds is named
-- unless expected_rights lists it.

create or replace function payout.check_rights()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'nobody was given more rights', count(*) = 0,
        coalesce(string_agg(format('%s on %s to %s', g.privilege_type, g.thing,
            case g.grantee when 0 then 'public' else g.grantee::regrole::text end), ', '), 'none'),
        'revoke … on … from …; then find out who granted it'
    from payout.given_rights() as g
    where g.grantee <> g.owner
        and not exists (
            select
            from payout.expected_rights() as w
            where g.grantee <> 0
                and g.grantee::regrole::text = any (string_to_array(w.roles, '|'))
                and g.privilege_type = any (string_to_array(w.privileges, '|'))
                and g.thing ~ w.things
        )
$$;
comment on function payout.check_rights() is
    'Part of payout_api.doctor(): rights beyond reading are those that the migrations gave.';
-- end frozen: procedures/doctor/check_rights.sql

-- frozen: procedures/doctor/check_settlements.sql 10a2ac05e6be
-- check_settlements: whether what was settled is scheduled, to the last line.

create or replace function payout.check_settlements()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every complete settlement is scheduled', count(*) = 0,
        format('%s are not', count(*)),
        'select payout.schedule_payout_job(settlement_id), as superuser'
    from payout.settlements as s
    where s.state = 'complete'
        and not exists (
            select from payout.payout_jobs as j where j.settlement_id = s.settlement_id
        )
    union all (
        with owed as (
            select l.settlement_id, l.payee_id, l.source_transaction::text,
                sum(l.amount_minor) as amount_minor
            from payout.settlement_lines as l
            join payout.payout_jobs as j on j.settlement_id = l.settlement_id
            group by l.settlement_id, l.payee_id, l.source_transaction
        ), made as (
            select t.settlement_id, t.payee_id, t.source_transaction,
                t.amount_minor::numeric as amount_minor
            from payout.payout_transfers as t
        ), total as (
            select s.settlement_id, s.total_minor::numeric as amount_minor
            from payout.settlements as s
            join payout.payout_jobs as j on j.settlement_id = s.settlement_id
        ), wrong as (
            select o.settlement_id from (table owed except table made) as o
            union
            select m.settlement_id from (table made except table owed) as m
            union
            select t.settlement_id
            from (
                table total
                except
                select o.settlement_id, sum(o.amount_minor) from owed as o group by o.settlement_id
            ) as t
        )
        select 'every settlement is paid as its lines say', count(*) = 0,
            format('%s are not%s', count(*), ', the first is ' || min(w.settlement_id)),
            'compare its lines with its transfers; settle what is missing under another id'
        from wrong as w
    )
$$;
comment on function payout.check_settlements() is
    'Part of payout_api.doctor(): no complete settlement is forgotten, and none of its lines.';
-- end frozen: procedures/doctor/check_settlements.sql

-- frozen: procedures/doctor/given_rights.sql 748c2c77af1c
-- given_rights: who has which right, beside reading, on what is ours.
--
-- Also what gets around our rights: a role of ours that acts as another role, triggers
-- that somebody may switch off, bells that the application rings or removes.

create or replace function payout.given_rights()
returns table (thing text, privilege_type text, grantee oid, owner oid)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select n.oid, n.nspname, n.nspowner as owner, n.nspacl as acl
        from pg_namespace as n
        where n.nspname in ('payout', 'payout_api')
    )
    select format('schema %s', o.nspname), a.privilege_type, a.grantee, o.owner
    from ours as o cross join lateral aclexplode(o.acl) as a
    where a.privilege_type <> 'USAGE'
    union all
    select c.oid::regclass::text, a.privilege_type, a.grantee, c.relowner
    from pg_class as c
    join ours as o on o.oid = c.relnamespace
    cross join lateral aclexplode(c.relacl) as a
    where a.privilege_type <> 'SELECT' and c.relkind in ('r', 'v', 'S')
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
    union all
    select format('role %s', m.roleid::regrole), 'MEMBER', m.member, m.roleid
    from pg_auth_members as m
    where m.member::regrole::text in (
        'payout_owner', 'payout_app', 'payout_worker', 'payout_operator', 'payout_auditor')
    union all
    select format('parameter %s', p.parname), a.privilege_type, a.grantee, a.grantor
    from pg_parameter_acl as p cross join lateral aclexplode(p.paracl) as a
    where p.parname = 'session_replication_role'
    union all
    select c.oid::regclass::text, a.privilege_type, a.grantee, c.relowner
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    where c.relnamespace = to_regnamespace('procrastinate')
        and a.privilege_type <> 'SELECT'
        and (a.grantee = 0 or a.grantee::regrole::text = 'payout_app')
$$;
comment on function payout.given_rights() is
    'Part of payout_api.doctor(): the rights beyond reading that somebody has.';
-- end frozen: procedures/doctor/given_rights.sql

-- frozen: procedures/doorbell/ring_for_job.sql 4a9aa2d1f234
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
    -- What nearly every settlement comes to.
    if v_seen_id is not null and p_transfers = 1 and p_pay_after is null then
        return array[v_seen_id];
    end if;
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

-- frozen: procedures/epoch/gate_problem.sql 07cfb5c593f5
-- gate_problem: what keeps the gate closed, in a sentence; null while it is open.
--
-- Volatile although it only reads: then a claim that waited for somebody who
-- closes the gate sees that it is closed.

create or replace function payout.gate_problem()
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_epoch payout.epochs;
    v_here record;
    v_changes text;
begin
    select * into v_epoch from payout.epochs as e order by e.epoch_id desc limit 1;
    if not found then
        return 'It was never adopted, and it had transfers when the gate was built.';
    end if;
    if v_epoch.system_identifier is null then
        return format('The gate was closed: %s.', v_epoch.reason);
    end if;

    v_here := payout.where_we_are();
    v_changes := concat_ws('; ',
        case when v_here.system_identifier <> v_epoch.system_identifier then
            format('system from %s to %s', v_epoch.system_identifier, v_here.system_identifier) end,
        case when v_here.timeline_id <> v_epoch.timeline_id then
            format('timeline from %s to %s', v_epoch.timeline_id, v_here.timeline_id) end,
        case when v_here.database_oid <> v_epoch.database_oid then
            format('database from %s to %s', v_epoch.database_oid, v_here.database_oid) end,
        case when v_here.table_oid <> v_epoch.table_oid then
            format('tables from %s to %s', v_epoch.table_oid, v_here.table_oid) end);
    if v_changes <> '' then
        return format('Changed since: %s.', v_changes);
    end if;

    -- Rows that were loaded into a new installation, or replicated to it, bring no epoch along.
    if v_epoch.is_installation and v_epoch.recorded_at > (
        select t.created_at from payout.payout_transfers as t order by t.payout_transfer_id limit 1
    ) then
        return 'It has transfers from before it was installed.';
    end if;
    -- The first claim here writes an epoch of its own (note_first_claim).
    if v_epoch.is_installation and exists (select from payout.transfer_attempts)
        and not exists (
            select from payout.epochs as e
            where e.epoch_id > v_epoch.epoch_id and e.is_first_claim
        ) then
        return 'It has attempts that were not handed out here.';
    end if;
    return null;
end
$$;
comment on function payout.gate_problem() is
    'Says how this place differs from where the database was last adopted; null: it does not.';
-- end frozen: procedures/epoch/gate_problem.sql

-- frozen: procedures/epoch/refuse_unsafe_account_change.sql 9071fff6b5ad
-- refuse_unsafe_account_change: what another account or mode would make pay twice, or not at all.
--
-- Called by: change_stripe_account, which keeps claims and pages away meanwhile.
-- Raises: SP411 transfers that the old account may have executed, or a database that has
-- left live mode and was used in test mode.

create or replace function payout.refuse_unsafe_account_change(
    p_old payout.engine_settings, p_is_livemode boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The other account would say of each that it was never executed. Test mode moves no money.
    if p_old.stripe_account_id is not null and p_is_livemode and exists (
        select from payout.transfer_states as s
        where s.state in ('in_flight', 'retry_wait', 'unknown', 'parked') and s.attempt > 0
    ) then
        raise exception 'transfers are open that % may have executed', p_old.stripe_account_id
            using
                errcode = 'SP411',
                hint = 'Have them settled with a key of the old account first (docs/restore.md).';
    end if;

    -- What the test account was asked meanwhile says nothing of the live one.
    if p_is_livemode and exists (
        select from payout.operator_actions as a
        where a.action = 'change_stripe_account'
            and a.details @> '{"old_is_livemode": true, "is_livemode": false}'
            and (exists (
                select from payout.transfer_attempts as t where t.claimed_at > a.acted_at
            ) or exists (
                select from payout.transfer_lookups as l where l.begun_at > a.acted_at
            ) or exists (
                select from payout.reconcile_runs as r where r.started_at > a.acted_at
            ) or exists (
                select from payout.event_pages as p where p.received_at > a.acted_at
            ))
    ) then
        raise exception 'what was used in test mode does not go back to live mode'
            using
                errcode = 'SP411',
                hint = 'A copy that was used in test mode stays there (docs/restore.md).';
    end if;
end
$$;
comment on function payout.refuse_unsafe_account_change(payout.engine_settings, boolean) is
    'Refuses to change to a live account while transfers are open that were ever sent, or after '
    'anything was done in test mode (SP411).';
-- end frozen: procedures/epoch/refuse_unsafe_account_change.sql

-- frozen: procedures/execution/expire_leases.sql 622e5b069198
-- expire_leases: transfers whose worker did not come back become unknown.
--
-- A lease that was given further ahead than one lease was written by a clock that has
-- since been set back: nobody knows how old its key is, so it is parked. The time is
-- asked for each row: what was claimed after p_now is not ahead of it.
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
                when s.lease_until > payout.clock() then 'clock_was_set_back'
                when s.tries + 1 >= e.max_tries then 'tries_used_up_worker_did_not_report'
                else 'worker_did_not_report'
            end as reason
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.lease_until < p_now
            or (s.lease_until > payout.clock() + 2 * e.lease_for and exists (
                select from payout.transfer_attempts as a
                where a.payout_transfer_id = s.payout_transfer_id
                    and a.generation = s.generation
                    and a.attempt = s.attempt
                    and a.claimed_at > payout.clock() + e.lease_for))
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
        perform payout.call_person('transfers_parked', v_parked || ' by the sweep');
    end if;
    return v_expired;
end
$$;
comment on function payout.expire_leases(timestamptz, integer) is
    'Closes up to p_limit leases that ran out: unknown and due at once, or parked when the tries '
    'are used up. Returns how many.';
-- end frozen: procedures/execution/expire_leases.sql

-- frozen: procedures/execution/lock_due_transfers.sql 8c01abe7f1ba
-- lock_due_transfers: the transfers whose turn it is, locked, oldest first.
--
-- A key that was first sent in the future, by a clock that has since been set
-- back, is of no known age and is not sent. Few rows are foretold, and holds are
-- asked in a case, so that the planner walks the due index and not the history.
-- Locks: their progress rows; rows that somebody else has locked are skipped.

create or replace function payout.lock_due_transfers(
    p_now timestamptz,
    p_first_sent_after timestamptz,
    p_limit integer,
    p_payout_job_id bigint
)
returns table (payout_transfer_id bigint, doorbell_id bigint)
language plpgsql
volatile
rows 20
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
begin
    return query
    select s.payout_transfer_id, s.doorbell_id
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.next_attempt_at <= p_now
        and s.state in ('scheduled', 'retry_wait', 'unknown')
        and (s.first_sent_at is null
            or (s.first_sent_at > p_first_sent_after and s.first_sent_at <= p_now))
        and (p_payout_job_id is null or t.payout_job_id = p_payout_job_id)
        and not exists (
            select from payout.holds as h where h.scope = 'engine' and h.released_at is null
        )
        and not case
            when t.currency = any ((select payout.held_subjects('currency'))::text[]) then true
            when t.payee_id = any ((select payout.held_subjects('payee'))::text[]) then true
            else t.settlement_id = any ((select payout.held_subjects('settlement'))::text[])
        end
    order by s.next_attempt_at
    limit p_limit
    for update of s skip locked;
end
$$;
comment on function payout.lock_due_transfers(timestamptz, timestamptz, integer, bigint) is
    'Locks and returns up to p_limit due transfers that are not on hold and whose key is young '
    'enough to be sent.';
-- end frozen: procedures/execution/lock_due_transfers.sql

-- frozen: procedures/execution/park_expired_keys.sql 200117ab49d5
-- park_expired_keys: what was first sent too long ago is not sent again.
--
-- Stripe may forget a key after 24 hours; a send after that would be a new
-- transfer. Only a look at what Stripe has can settle these. A first send in
-- the future means a clock that was set back, hence a key of unknown age; the time
-- is asked for each row: what was sent after p_now was not sent in the future.

create or replace function payout.park_expired_keys(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_parked integer;
begin
    with expired as (
        select s.payout_transfer_id, s.generation, s.attempt,
            case when s.first_sent_at > payout.clock() then 'clock_was_set_back'
                else 'key_too_old_to_send' end as reason
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where s.next_attempt_at is not null
            and s.state in ('retry_wait', 'unknown')
            and ((s.next_attempt_at <= p_now and s.first_sent_at <= p_now - e.send_window_for)
                or s.first_sent_at > payout.clock())
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id)
        select x.payout_transfer_id, x.generation, x.attempt, 'key_expired', 'ok', 'parked',
            x.reason, r.error_rule_id
        from expired as x
        left join payout.stripe_error_rules as r on r.signal = 'key_expired'
    ), moved as (
        update payout.transfer_states as s
        set state = 'parked',
            next_attempt_at = null,
            reason = x.reason,
            changed_at = p_now
        from expired as x
        where s.payout_transfer_id = x.payout_transfer_id
        returning 1
    )
    select count(*)::integer into v_parked from moved;

    if v_parked > 0 then
        perform payout.call_person('transfers_parked', v_parked || ' by the sweep');
    end if;
    return v_parked;
end
$$;
comment on function payout.park_expired_keys(timestamptz, integer) is
    'Parks up to p_limit transfers whose key is older than the send window, or of unknown age. '
    'Returns how many.';
-- end frozen: procedures/execution/park_expired_keys.sql

-- frozen: procedures/execution/place_hold.sql 512279106e8d
-- place_hold: stop sending for the engine, a currency, a payee or a settlement.
--
-- Safe to repeat: what is on hold stays on hold, once.
-- Locks: the hold that is there already, so that it is not released before the caller
-- commits who relies on it; one that was released meanwhile is placed anew.

create or replace function payout.place_hold(p_scope text, p_subject text, p_reason text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold_id bigint;
begin
    loop
        insert into payout.holds (scope, subject, reason)
        values (p_scope, p_subject, p_reason)
        on conflict do nothing
        returning hold_id into v_hold_id;

        if found then
            insert into payout.operator_actions (action, subject, reason, details)
            values ('hold', concat_ws(' ', p_scope, p_subject), p_reason,
                jsonb_build_object('hold_id', v_hold_id));
            exit;
        end if;

        select h.hold_id into v_hold_id
        from payout.holds as h
        where h.scope = p_scope
            and h.subject is not distinct from p_subject
            and h.released_at is null
        for share;
        exit when found;
    end loop;
    return v_hold_id;
end
$$;
comment on function payout.place_hold(text, text, text) is
    'Places a hold unless there is one, notes it in operator_actions, returns its hold_id.';
-- end frozen: procedures/execution/place_hold.sql

-- frozen: procedures/execution/record_unknown_transfers.sql 4d465ea68675
-- record_unknown_transfers: outcomes of transfers that this database does not have.
--
-- A restored or promoted database may have forgotten what a worker was sent to
-- do. What Stripe did is a fact all the same: it is kept and a person is called.

create or replace function payout.record_unknown_transfers(p_outcomes payout.outcome[])
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
as $$
begin
    return query
    with recorded as (
        insert into payout.discrepancies (kind, stripe_transfer_id, theirs, advice)
        select 'report_of_unknown_transfer', o.stripe_transfer_id, jsonb_strip_nulls(to_jsonb(o)),
            'This database does not know the transfer: was it restored or promoted? Look the '
            'payout_ref up at Stripe before anything is sent.'
        from unnest(p_outcomes) as o
        returning theirs
    )
    select
        (r.theirs ->> 'payout_transfer_id')::bigint, (r.theirs ->> 'generation')::integer,
        (r.theirs ->> 'attempt')::integer, 'alarm', null::text
    from recorded as r;

    if found then
        perform payout.call_person('report_of_unknown_transfer', 'restored or promoted?');
    end if;
end
$$;
comment on function payout.record_unknown_transfers(payout.outcome[]) is
    'Stores outcomes of unknown transfers as discrepancies and answers alarm for each.';
-- end frozen: procedures/execution/record_unknown_transfers.sql

-- frozen: procedures/lookups/finish_lookup.sql e6971c03285f
-- finish_lookup: judge a complete look-up, once, and plan the next one if it settled nothing.
--
-- Called by: report_lookup_page, which holds the lock of the transfer.
-- The longer it is parked, the rarer it is looked for, but at once when it counts.
-- A transfer that is found explains nothing about another one that was seen for it.

create or replace function payout.finish_lookup(
    p_lookup payout.transfer_lookups, p_state payout.transfer_states
)
returns table (verdict text, state text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_outcome payout.outcome := payout.lookup_outcome(p_lookup, p_state);
    v_counts_from timestamptz;
begin
    return query
    select o.verdict, coalesce(o.moved_to, p_state.state)::text
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.facts ->> 'lookup_id' = p_lookup.lookup_id::text;
    if found then
        return;
    end if;

    return query
    select r.verdict, r.state from payout.record_outcomes(array[v_outcome]) as r;

    v_counts_from := payout.absence_counts_from(p_state.payout_transfer_id);
    update payout.transfer_states as s
    set next_lookup_at = payout.clock() + greatest(
        e.scans_apart_for,
        case
            when p_lookup.begun_at < v_counts_from then
                least((payout.clock() - s.changed_at) / 4, v_counts_from - payout.clock())
            when v_counts_from is null or s.reason = 'absence_awaits_approval' then
                (payout.clock() - s.changed_at) / 4
        end)
    from payout.engine_settings as e
    where s.payout_transfer_id = p_state.payout_transfer_id
        and s.state = 'parked';

    if v_outcome.found = 1 then
        perform payout.note_reversals(array[
            jsonb_populate_record(null::payout.stripe_sightings, to_jsonb(v_outcome))]);
        update payout.discrepancies as d
        set resolved_at = payout.clock(),
            resolved_by = 'engine',
            resolution = format('Stripe has it as %s, as it was asked for.',
                v_outcome.stripe_transfer_id)
        from payout.transfer_states as s
        where d.payout_transfer_id = p_state.payout_transfer_id
            and d.resolved_at is null
            and (d.stripe_transfer_id is null or d.stripe_transfer_id = s.stripe_transfer_id)
            and d.kind <> 'several_transfers_at_stripe'
            and s.payout_transfer_id = p_state.payout_transfer_id
            and s.stripe_transfer_id = v_outcome.stripe_transfer_id;
    end if;
end
$$;
comment on function payout.finish_lookup(payout.transfer_lookups, payout.transfer_states) is
    'Verdict and state after all pages of a look-up: paid, known, an alarm, absent or given up.';
-- end frozen: procedures/lookups/finish_lookup.sql

-- frozen: procedures/reconcile/add_reconcile_page.sql 77724059cab7
-- add_reconcile_page: keep a page, compare it with the books, and finish with the last one.
--
-- Called by: report_reconcile_page, which holds the lock of the run.

create or replace function payout.add_reconcile_page(
    p_run payout.reconcile_runs,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns payout.reconcile_runs
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_run payout.reconcile_runs;
    v_seen payout.stripe_sightings[] := array(
        select g from payout.read_sightings(p_run.reconcile_run_id, p_transfers) as g);
    v_last_id text := coalesce(p_transfers -> -1 ->> 'id', p_starting_after);
    v_found integer;
begin
    insert into payout.reconcile_pages (
        reconcile_run_id, page_number, starting_after, last_id, has_more, stripe_transfer_ids)
    select p_run.reconcile_run_id, coalesce(max(p.page_number), 0) + 1, p_starting_after,
        v_last_id, p_has_more, array(select g.stripe_transfer_id from unnest(v_seen) as g)
    from payout.reconcile_pages as p
    where p.reconcile_run_id = p_run.reconcile_run_id;

    v_found := payout.take_sightings(v_seen, p_run.reconcile_run_id);
    perform payout.note_reversals(v_seen);
    if not p_has_more then
        v_found := v_found + payout.record_findings(
            array(select f from payout.find_missing(p_run) as f), p_run.reconcile_run_id);
        perform payout.resolve_findings(p_run.reconcile_run_id);
        v_found := v_found + payout.adopt_sightings(
            array(select u from payout.unjudged_sightings() as u));
    end if;

    update payout.reconcile_runs as r
    set next_cursor = v_last_id,
        transfers_seen = r.transfers_seen + cardinality(v_seen),
        discrepancies_found = r.discrepancies_found + v_found,
        finished_at = case when not p_has_more then payout.clock() end
    where r.reconcile_run_id = p_run.reconcile_run_id
    returning * into strict v_run;
    return v_run;
end
$$;
comment on function payout.add_reconcile_page(payout.reconcile_runs, text, jsonb, boolean) is
    'Takes the next page of a run: findings, adopted transfers, the run''s progress.';
-- end frozen: procedures/reconcile/add_reconcile_page.sql

-- frozen: procedures/reconcile/adopt_seen.sql 7e4109ded0e8
-- adopt_seen: of transfers that are about to be sent, those that Stripe has already are not.
--
-- Called by: claim_transfers, which holds the locks. A database that was restored
-- has forgotten them; reconcile has seen them.

create or replace function payout.adopt_seen(p_payout_transfer_ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_seen_ids bigint[];
    v_sightings text[];
begin
    if not exists (select from payout.stripe_sightings) then
        return p_payout_transfer_ids;
    end if;
    select array_agg(t.payout_transfer_id), array_agg(g.stripe_transfer_id)
    into v_seen_ids, v_sightings
    from payout.payout_transfers as t
    join payout.stripe_sightings as g on g.payout_ref = t.payout_ref
    where t.payout_transfer_id = any (p_payout_transfer_ids);

    if v_seen_ids is null then
        return p_payout_transfer_ids;
    end if;
    perform payout.adopt_sightings(v_sightings);
    return array(
        select t.payout_transfer_id
        from payout.payout_transfers as t
        where t.payout_transfer_id = any (p_payout_transfer_ids)
            and t.payout_transfer_id <> all (v_seen_ids)
            and t.settlement_id <> all (payout.held_subjects('settlement')));
end
$$;
comment on function payout.adopt_seen(bigint[]) is
    'Adopts what was seen at Stripe and returns the others, which may be sent.';
-- end frozen: procedures/reconcile/adopt_seen.sql

-- frozen: procedures/reconcile/close_reversal_lookup.sql 1543d8c5bf82
-- close_reversal_lookup: whether the books have all that was seen taken back of a transfer.
--
-- If not, Stripe's list of reversals lags behind: it is read again later. What
-- contradicts the transfer waits for a person, or until more is taken back.

create or replace function payout.close_reversal_lookup(
    p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_is_complete boolean;
begin
    update payout.reversed_transfers as r
    set next_lookup_at = case
            when p_problem is null and b.booked_minor < r.amount_reversed_minor
                then payout.clock() + interval '10 minutes'
            -- More was seen since it was handed out: note_reversals asked for another look.
            when r.next_lookup_at <= payout.clock() then r.next_lookup_at
        end,
        amount_reversed_minor = greatest(r.amount_reversed_minor, b.booked_minor)
    from (
        select coalesce(sum(e.amount_minor), 0)::bigint as booked_minor
        from payout.ledger_entries as e
        where e.payout_transfer_id = p_transfer.payout_transfer_id and e.kind = 'reversal'
    ) as b
    where r.stripe_transfer_id = p_stripe_transfer_id
    returning b.booked_minor >= r.amount_reversed_minor into strict v_is_complete;
    return v_is_complete;
end
$$;
comment on function payout.close_reversal_lookup(payout.payout_transfers, text, text) is
    'True when all that was seen taken back is booked; decides when its reversals are read again.';
-- end frozen: procedures/reconcile/close_reversal_lookup.sql

-- frozen: procedures/reconcile/record_findings.sql 97028f5241e7
-- record_findings: keep where Stripe and the books disagree, and call a person about what is new.
--
-- What is found again is the same row, also when a person has resolved it. It is
-- a new one if a run no longer found it meanwhile, or if it says something else
-- than what was resolved (is_explained).

create or replace function payout.record_findings(
    p_findings payout.finding[], p_reconcile_run_id bigint
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_findings payout.finding[];
    v_new record;
    v_found integer;
begin
    -- Who is resolving one of them is waited for, and then believed.
    perform
    from payout.discrepancies as d
    join unnest(p_findings) as f on f.kind = d.kind and f.stripe_transfer_id = d.stripe_transfer_id
    where d.is_finding and d.resolved_at is null
    order by d.stripe_transfer_id, d.kind
    for update of d;
    v_findings := array(
        select f from unnest(p_findings) as f
        where not payout.is_explained(f)
        order by f.stripe_transfer_id, f.kind);
    if v_findings = '{}' then
        return 0;
    end if;
    for v_new in
        select f.kind, count(*) as findings, min(f.stripe_transfer_id) as example
        from unnest(v_findings) as f
        where not exists (
            select from payout.discrepancies as d
            where d.kind = f.kind
                and d.stripe_transfer_id = f.stripe_transfer_id
                and d.is_finding
                and d.resolved_at is null
        )
        group by f.kind
        order by f.kind
    loop
        perform payout.call_person(
            v_new.kind, format('%s found, %s among them', v_new.findings, v_new.example));
    end loop;

    insert into payout.discrepancies as d (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice, is_finding,
        found_by_run_id, last_found_by_run_id)
    select f.kind, f.payout_transfer_id, f.stripe_transfer_id, f.ours, f.theirs,
        payout.finding_advice(f.kind), true, p_reconcile_run_id, p_reconcile_run_id
    from unnest(v_findings) as f
    on conflict (kind, stripe_transfer_id) where is_finding and resolved_at is null
    do update set last_found_by_run_id = coalesce(
        excluded.last_found_by_run_id, d.last_found_by_run_id);
    get diagnostics v_found = row_count;
    return v_found;
end
$$;
comment on function payout.record_findings(payout.finding[], bigint) is
    'Stores findings as discrepancies, each once; returns how many are open.';
-- end frozen: procedures/reconcile/record_findings.sql

-- frozen: procedures/reconcile/resolve_adopted.sql e942ef6cbd81
-- resolve_adopted: what is paid by what was seen at Stripe, as it was asked for, is explained.

create or replace function payout.resolve_adopted(p_stripe_transfer_ids text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('Stripe has transfer %s as %s, as it was asked for.',
            s.payout_transfer_id, s.stripe_transfer_id)
    from payout.transfer_states as s
    cross join lateral (
        select o.discrepancy_id
        from payout.discrepancies as o
        where o.resolved_at is null
            and o.kind <> 'several_transfers_at_stripe'
            and (
                o.stripe_transfer_id = s.stripe_transfer_id
                or (o.payout_transfer_id = s.payout_transfer_id and o.stripe_transfer_id is null)
            )
        for update skip locked
    ) as f
    where s.stripe_transfer_id = any (p_stripe_transfer_ids)
        and d.discrepancy_id = f.discrepancy_id;
end
$$;
comment on function payout.resolve_adopted(text[]) is
    'Resolves discrepancies about transfers that are paid here by these sightings now.';
-- end frozen: procedures/reconcile/resolve_adopted.sql

-- frozen: procedures/reconcile/reversals_problem.sql c97e48c6249b
-- reversals_problem: why reversals cannot be those of a transfer that was paid here.

create or replace function payout.reversals_problem(
    p_transfer payout.payout_transfers, p_reversals jsonb
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from jsonb_array_elements(p_reversals) as r
        where r ->> 'currency' is distinct from p_transfer.currency::text
    ) then
        return 'another currency';
    elsif (
        select sum(r.amount_minor)
        from (
            select r ->> 'id', (r ->> 'amount')::numeric
            from jsonb_array_elements(p_reversals) as r
            union
            select e.stripe_reversal_id, e.amount_minor
            from payout.ledger_entries as e
            where e.payout_transfer_id = p_transfer.payout_transfer_id and e.kind = 'reversal'
        ) as r (id, amount_minor)
    ) > p_transfer.amount_minor then
        return 'more than was paid';
    elsif exists (
        select from payout.ledger_entries as e
        join jsonb_array_elements(p_reversals) as r on r ->> 'id' = e.stripe_reversal_id
        where e.payout_transfer_id <> p_transfer.payout_transfer_id
            or e.amount_minor <> (r ->> 'amount')::bigint
    ) then
        return 'booked otherwise';
    end if;
    return null;
end
$$;
comment on function payout.reversals_problem(payout.payout_transfers, jsonb) is
    'What contradicts the transfer; null: nothing does.';
-- end frozen: procedures/reconcile/reversals_problem.sql

-- frozen: procedures/reconcile/start_run.sql 737a4b1b3c61
-- start_run: begin to compare with Stripe from where the last comparison ended.
--
-- Called by: begin_reconcile. Windows overlap by a day, so that a transfer whose
-- answer came late falls whole into one of them. Without a former run that counts
-- here everything since the installation is compared, or since the first transfer if that
-- is older; without a transfer, all.
-- Safe at once from many places: one run goes on at a time, by its unique key.

create or replace function payout.start_run(p_worker text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
as $$
declare
    v_now timestamptz := payout.clock();
    v_from timestamptz := (
        select max(r.created_until) - interval '1 day'
        from payout.runs_of_this_place() as r
        -- One that was begun under a clock that was ahead ended nobody knows when.
        where r.finished_at is not null and r.created_until <= v_now);
begin
    update payout.reconcile_runs as r
    set abandoned_at = v_now
    where r.finished_at is null
        and r.abandoned_at is null
        and r.reconcile_run_id not in (
            select h.reconcile_run_id from payout.runs_of_this_place() as h);

    v_from := coalesce(
        v_from,
        -- Restored to before its first transfer, it has forgotten older ones than it has now.
        (select least(t.created_at, (select min(o.recorded_at) from payout.epochs as o))
                - interval '1 day'
            from payout.payout_transfers as t
            order by t.payout_transfer_id
            limit 1),
        to_timestamp(0));
    -- Though a clock was set back.
    v_from := least(v_from, v_now - interval '1 day');

    insert into payout.reconcile_runs (
        worker, started_at, epoch_id, created_from, created_until, transfers_expected)
    values (
        p_worker, v_now, (select max(o.epoch_id) from payout.epochs as o), v_from, v_now, (
            select count(*)
            from payout.ledger_entries as e
            where e.kind = 'paid' and e.created_at >= v_from and e.created_at < v_now))
    on conflict do nothing;
end
$$;
comment on function payout.start_run(text) is
    'Begins a reconcile run, unless one goes on; gives up one that no longer counts here.';
-- end frozen: procedures/reconcile/start_run.sql

-- frozen: procedures/reconcile/unjudged_sightings.sql 5ebb47471d99
-- unjudged_sightings: what was seen at Stripe of a transfer here, and nobody has judged since.
--
-- A settlement that was recorded, or a key that was opened, beside the page that
-- showed it was sent by a claim that did not see the page (adopt_seen).

create or replace function payout.unjudged_sightings()
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select g.stripe_transfer_id::text
    from payout.stripe_sightings as g
    join payout.payout_transfers as t on t.payout_ref = g.payout_ref
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where s.stripe_transfer_id is distinct from g.stripe_transfer_id
        and (s.state <> 'failed' or s.next_attempt_at is null)
        and not exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = t.payout_transfer_id
                and o.stripe_transfer_id = g.stripe_transfer_id
        )
$$;
comment on function payout.unjudged_sightings() is
    'Sightings of transfers that are known here, that were never judged.';
-- end frozen: procedures/reconcile/unjudged_sightings.sql

reset role;
