-- claim_transfers: hand a worker the transfers that are due, each under a lease.
--
-- Called by: worker. One call serves many transfers, and waits for another one only to count for a
-- cap.
-- Skips transfers that are on hold, whose send window under their key is over (Stripe may have
-- forgotten the key), or that Stripe has listed already (the sweep judges them); sets aside those
-- whose rows contradict each other; lets those wait that are over a cap.
-- Locks: the caps, before it looks at anything that may stop it; then the transfers.
-- Raises: SP401 unsafe server; SP403, SP404, SP405 (refuse_unsafe_database); SP311 limit out of
-- range.

create or replace function payout_api.claim_transfers(
    p_worker text,
    p_limit integer default 100,
    p_payout_job_id bigint default null,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null,
    p_stripe_now timestamptz default null
)
returns setof payout.claim
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_settings payout.engine_settings;
    v_now timestamptz;
    v_free integer;
    v_size integer := p_limit;
    v_due record;
    v_claims payout.claim[] := '{}'::payout.claim[];
begin
    perform payout.refuse_unsafe_server(p_stripe_now);
    -- Claims count one after the other where there are caps. What stops a claim, and the hour in
    -- which it counts, are read after that wait.
    perform from payout.caps as c order by c.scope, c.currency for update;
    v_now := payout.clock();
    select * into strict v_settings from payout.engine_settings;
    perform payout.refuse_unsafe_database(
        p_stripe_account_id, p_is_livemode, v_settings.comparison_counts_for);

    if p_worker is null or coalesce(p_limit, 0) not between 1 and v_settings.largest_claim then
        raise exception 'claim of % transfers by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'no worker')
            using
                errcode = 'SP311',
                hint = format('Name the worker, ask for 1 to %s.', v_settings.largest_claim);
    end if;

    perform payout.forget_pending_wakeup();
    v_free := payout.free_turns(v_now);
    -- Bounded, should a row be due still that was set aside, or waits.
    for v_turn in 0 .. 2 * p_limit loop
        begin
            v_size := least(v_size, least(p_limit, v_free) - cardinality(v_claims));
            select array_agg(d.payout_transfer_id) as ids, null::bigint[] as allowed_ids,
                array_agg(distinct d.wakeup_id) as wakeup_ids
            into v_due
            from payout.lock_due_transfers(
                v_now, v_now - v_settings.send_window_for, p_worker, v_size, p_payout_job_id) as d;
            exit when v_due.ids is null;
            perform payout.remove_served_wakeups(v_due.wakeup_ids);
            v_due.allowed_ids := payout.within_caps(v_due.ids, v_now);
            perform payout.adopt_at_first_claim(v_due.allowed_ids);
            v_claims := v_claims || array(
                select c
                from payout.open_attempts(
                    v_due.allowed_ids, p_worker, v_now, v_settings, v_free is not null) as c);
            exit when cardinality(v_due.ids) < v_size
                or cardinality(v_claims) >= least(p_limit, v_free);
        exception
            when integrity_constraint_violation or data_exception
                or sqlstate 'SP103' or sqlstate 'SP201' then
                -- One of them contradicts its facts: one by one they show which.
                if cardinality(v_due.ids) = 1 then
                    perform payout.set_aside(v_due.ids[1], sqlerrm);
                end if;
                v_size := 1;
        end;
    end loop;
    return query select * from unnest(v_claims);
end
$$;
comment on function payout_api.claim_transfers(
    text, integer, bigint, text, boolean, timestamptz
) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine or the worker is on hold. The Stripe account is that of the worker''s '
    'key, p_stripe_now the time by Stripe''s Date header. Seconds count from before the call; '
    'send_in_seconds is the turn of the transfer, where a pace is kept; due_for_seconds since it '
    'was due under this key, for metrics.';
grant execute on function payout_api.claim_transfers(
    text, integer, bigint, text, boolean, timestamptz
) to payout_worker;
