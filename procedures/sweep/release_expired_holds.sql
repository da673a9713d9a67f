-- release_expired_holds: end the holds, and the waits for a cap or an account, whose time is over.
--
-- Locks: the holds' rows, skipping those that another session has locked; then the transfers that
-- wait.

create or replace function payout.release_expired_holds(p_now timestamptz)
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
end
$$;
comment on function payout.release_expired_holds(timestamptz) is
    'Releases the holds that were placed, and the waits that go on, until a time that has come.';
