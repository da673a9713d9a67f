-- plan_late_lookups: plan a look at Stripe's list before a late first send.
--
-- A transfer whose send window is over was, as far as this database knows, never sent. A database
-- that went back in time may have forgotten that it was, and Stripe has forgotten the key. The
-- claim leaves it out until a look has found nothing (judge_absence); the look comes once nothing
-- can come any more of what was forgotten.
-- Locks: the transfers' progress rows, skipping those that are locked.

create or replace function payout.plan_late_lookups(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
begin
    select * into strict v_settings from payout.engine_settings;
    with late as (
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.next_attempt_at <= p_now - v_settings.send_window_for
            and s.state = 'scheduled'
            and s.next_lookup_at is null
            and s.hold_id is null
            and payout.progress_problem(s) is null
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
    )
    update payout.transfer_states as s
    set next_lookup_at = s.next_attempt_at + payout.forgotten_sends_last(v_settings)
    from late as l
    where s.payout_transfer_id = l.payout_transfer_id;
end
$$;
comment on function payout.plan_late_lookups(timestamptz, integer) is
    'Plans the look-up of up to p_limit transfers.';
