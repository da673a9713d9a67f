-- park_expired_keys: park transfers whose key is too old to be sent again.
--
-- Stripe may forget a key after 24 hours; a send after that would be a new transfer. Only a
-- look-up can settle these, however far ahead a clock has dated them. A window that begins in the
-- future means a clock that was set back. The clock is read for each row: a claim after p_now is
-- not in the future.
-- Locks: the transfers' progress rows, and their own, to which observations refer; skipping those
-- that are locked.

create or replace function payout.park_expired_keys(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return payout.record_expiries('key_expired', array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        cross join payout.engine_settings as e
        where s.next_attempt_at is not null
            and s.state in ('retry_wait', 'unknown')
            and (s.window_begins_at <= p_now - e.send_window_for
                or s.window_begins_at > payout.clock())
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
        for key share of t skip locked));
end
$$;
comment on function payout.park_expired_keys(timestamptz, integer) is
    'Parks up to p_limit transfers; returns how many.';
