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

-- frozen: procedures/api/operator/open_gate.sql 086dbcb39e76
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

reset role;
