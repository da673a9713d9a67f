-- release_expired_holds: end the holds whose time is over.
--
-- Locks: the holds' rows, skipping those that another session has locked.

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
        where h.expires_at <= p_now and h.released_at is null
        for update skip locked), 'engine', 'its time is over');
end
$$;
comment on function payout.release_expired_holds(timestamptz) is
    'Releases the holds that were placed until a time that has come.';
