-- end_due_holds: end the holds whose time has come, and the waits that are over.
--
-- A wait for funds or for an account is over once the transfer that was let through is paid.
-- Locks: the holds, skipping those that are locked; then the transfers that they stop.

create or replace function payout.end_due_holds(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.end_holds(array(
        select h.hold_id
        from payout.holds as h
        where h.released_at is null
            and (h.expires_at <= p_now
                or h.awaits in ('cap', 'account_change') and h.goes_on_at <= p_now)
        order by h.hold_id
        for update skip locked), 'engine', 'its time is over');
    perform payout.end_holds(array(
        select h.hold_id
        from payout.holds as h
        where h.released_at is null
            and h.awaits in ('funds', 'account')
            and exists (
                select from payout.transfer_states as s
                where s.payout_transfer_id = h.probe_transfer_id and s.state = 'paid'
            )
        order by h.hold_id
        for update skip locked), 'engine', 'its transfer was paid');
end
$$;
comment on function payout.end_due_holds(timestamptz) is
    'Releases the holds that were placed until a time that has come, and the waits whose transfer '
    'was paid.';
