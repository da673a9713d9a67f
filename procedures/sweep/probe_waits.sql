-- probe_waits: let one transfer through where a wait for funds or for an account is due for it.
--
-- It is sent as any other: once it is paid the wait ends; declined, it waits with the others for
-- the next round. One that was never sent goes first, since it needs no look; the others take
-- turns. A wait under which nothing waits ends; one whose transfers are all on another hold is
-- looked at again.
-- Locks: the holds, then one transfer of each; both skipping those that are locked; of waits that
-- end, the transfers that wait.

create or replace function payout.probe_waits(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold payout.holds;
    v_probe_id bigint;
begin
    perform payout.end_holds(array(
        select h.hold_id
        from payout.holds as h
        join payout.transfer_states as s on s.payout_transfer_id = h.probe_transfer_id
        where h.released_at is null and s.state = 'paid'
        order by h.hold_id
        for update of h skip locked), 'engine', 'it waits no longer');

    for v_hold in
        select *
        from payout.holds as h
        where h.released_at is null
            and h.awaits in ('funds', 'account')
            and h.goes_on_at <= p_now
        order by h.hold_id
        for update skip locked
    loop
        -- One that could not be sent in its round waits again.
        update payout.transfer_states as s
        set hold_id = v_hold.hold_id,
            next_lookup_at = null
        where s.payout_transfer_id = v_hold.probe_transfer_id
            and s.state = 'failed'
            and s.next_attempt_at is not null
            and s.hold_id is null
            and payout.progress_problem(s) is null;
        if not exists (
            select from payout.transfer_states as s
            where s.hold_id = v_hold.hold_id
                or (s.payout_transfer_id = v_hold.probe_transfer_id
                    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked'))
        ) then
            perform payout.end_holds(array[v_hold.hold_id], 'engine', 'nothing waits any longer');
            continue;
        end if;
        v_probe_id := payout.let_through(v_hold, p_now);
        update payout.holds as h
        set goes_on_at = p_now + case when v_probe_id is null then interval '1 minute'
                else payout.next_round(h.awaits, h.probes + 1) end,
            probes = h.probes + (v_probe_id is not null)::integer,
            probe_transfer_id = coalesce(v_probe_id, h.probe_transfer_id)
        where h.hold_id = v_hold.hold_id;
    end loop;
end
$$;
comment on function payout.probe_waits(timestamptz) is
    'Ends such waits whose transfer was paid, lets one transfer of each other through, and sets '
    'the time of its next round.';
