-- pull_back_dates: take back dates that were given by a clock that was ahead.
--
-- A sweep or a report under a clock that was a year ahead plans looks and rounds for a year from
-- now: nothing would happen until then. A look is planned no further ahead than what was forgotten
-- may last, or a quarter of the time for which its transfer has rested; a round no further than
-- next_round says.
-- Locks: the transfers' progress rows and the holds, skipping those that are locked.

create or replace function payout.pull_back_dates(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_longest interval := (
        select payout.forgotten_sends_last(e) from payout.engine_settings as e);
begin
    update payout.transfer_states as s
    set next_lookup_at = p_now
    where s.payout_transfer_id = any (array(
        select f.payout_transfer_id
        from payout.transfer_states as f
        where f.next_lookup_at > p_now + v_longest
            and f.next_lookup_at - p_now > p_now - f.changed_at
            and payout.progress_problem(f) is null
        for update skip locked));

    update payout.holds as h
    set goes_on_at = p_now
    where h.hold_id = any (array(
        select f.hold_id
        from payout.holds as f
        where f.released_at is null
            -- The 18th is as long as any, and each varies by a quarter: twice it is more than all.
            and f.goes_on_at > p_now + 2 * payout.next_round(f.awaits, 18)
        for update skip locked));
end
$$;
comment on function payout.pull_back_dates(timestamptz) is
    'Makes looks and rounds due whose dates are further ahead than any that is given.';
