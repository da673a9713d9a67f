-- Revert 0004-doorbell.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- dropped: procedures/scheduling/create_transfers.sql
drop function if exists payout.create_transfers(payout.settlements, bigint, bigint[]);
-- end dropped: procedures/scheduling/create_transfers.sql

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

-- frozen: procedures/api/worker/claim_transfers.sql e124c8f56b3d
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
            changed_at = v_now
        from payout.lock_due_transfers(
            v_now, v_now - v_settings.send_window_for, p_limit, p_payout_job_id) as d
        where s.payout_transfer_id = d.payout_transfer_id
        returning s.*
    ), opened as (
        insert into payout.transfer_attempts (
            payout_transfer_id, generation, attempt, worker, claimed_at, lease_until)
        select c.payout_transfer_id, c.generation, c.attempt, p_worker, v_now, c.lease_until
        from claimed as c
    )
    select
        c.payout_transfer_id, c.generation, c.attempt,
        t.payout_ref || ':' || c.generation,
        t.request,
        extract(epoch from v_settings.lease_for)::double precision,
        extract(epoch from v_settings.http_deadline_for)::double precision
    from claimed as c
    join payout.payout_transfers as t on t.payout_transfer_id = c.payout_transfer_id;
end
$$;
comment on function payout_api.claim_transfers(text, integer, bigint) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine is on hold. Seconds count from before the call.';
revoke execute on function payout_api.claim_transfers(text, integer, bigint) from public;
grant execute on function payout_api.claim_transfers(text, integer, bigint) to payout_worker;
-- end frozen: procedures/api/worker/claim_transfers.sql

-- frozen: procedures/api/worker/sweep.sql 8caf58ecb520
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
    return query
    select
        payout.expire_leases(v_now, p_limit),
        payout.park_expired_keys(v_now, p_limit),
        payout.reopen_declined(v_now, p_limit),
        0;  -- there is no queue yet
end
$$;
comment on function payout_api.sweep(integer) is
    'Closes leases that ran out, parks what is too old to send, opens new keys where rule K '
    'allows; up to p_limit of each. Returns how many.';
revoke execute on function payout_api.sweep(integer) from public;
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
-- end frozen: procedures/api/worker/sweep.sql

-- dropped: procedures/doorbell/ring_for_job.sql
drop function if exists payout.ring_for_job(bigint, integer, timestamptz);
-- end dropped: procedures/doorbell/ring_for_job.sql

-- dropped: procedures/doorbell/ring_doorbells.sql
drop function if exists payout.ring_doorbells(timestamptz, integer);
-- end dropped: procedures/doorbell/ring_doorbells.sql

-- dropped: procedures/doorbell/has_queue.sql
drop function if exists payout.has_queue();
-- end dropped: procedures/doorbell/has_queue.sql

-- dropped: procedures/doorbell/defer_job.sql
drop function if exists payout.defer_job(bigint, integer);
-- end dropped: procedures/doorbell/defer_job.sql

-- dropped: procedures/doorbell/clear_lost_doorbells.sql
drop function if exists payout.clear_lost_doorbells();
-- end dropped: procedures/doorbell/clear_lost_doorbells.sql

-- dropped: procedures/doorbell/answer_doorbells.sql
drop function if exists payout.answer_doorbells(bigint[]);
-- end dropped: procedures/doorbell/answer_doorbells.sql

-- dropped: procedures/doctor/check_server.sql
drop function if exists payout.check_server();
-- end dropped: procedures/doctor/check_server.sql

-- dropped: procedures/doctor/check_rights.sql
drop function if exists payout.check_rights();
-- end dropped: procedures/doctor/check_rights.sql

-- dropped: procedures/doctor/check_queue.sql
drop function if exists payout.check_queue();
-- end dropped: procedures/doctor/check_queue.sql

-- dropped: procedures/doctor/check_guards.sql
drop function if exists payout.check_guards();
-- end dropped: procedures/doctor/check_guards.sql

-- dropped: procedures/doctor/check_books.sql
drop function if exists payout.check_books();
-- end dropped: procedures/doctor/check_books.sql

-- dropped: procedures/api/operator/doctor.sql
drop function if exists payout_api.doctor();
-- end dropped: procedures/api/operator/doctor.sql

reset role;
