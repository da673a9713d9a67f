-- end_waits: end the waits that are over.
--
-- A wait for funds or for an account is over once the transfer that was let through is paid, one
-- for a cap or after a change of account at its time.
-- Locks: the holds, skipping those that are locked; then the transfers that wait.

create or replace function payout.end_waits(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.end_holds(
        array(
            select h.hold_id
            from payout.holds as h
            where h.released_at is null
                and h.awaits is not null
                and case
                    when h.awaits in ('cap', 'account_change') then h.goes_on_at <= p_now
                    else exists (
                        select from payout.transfer_states as s
                        where s.payout_transfer_id = h.probe_transfer_id and s.state = 'paid'
                    )
                end
            order by h.hold_id
            for update skip locked),
        'engine', 'it waits no longer');
end
$$;
comment on function payout.end_waits(timestamptz) is
    'Releases waits whose transfer was paid, or whose time has come.';
