-- tg_transfer_states__plan_lookup: plan the look-up of a transfer that becomes parked or failed.
--
-- It serves every way to be parked: a report, an expired lease or key, an alarm. A transfer that
-- failed is looked for when its next key is due. While the state stays, the functions that judge
-- the look-up move the time or clear it. A transfer that moves leaves the hold under which it was
-- found: it is asked anew whether it is on hold.

create or replace function payout.tg_transfer_states__plan_lookup()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.state <> new.state then
        new.next_lookup_at := case new.state
            when 'parked' then payout.clock()
            when 'failed' then new.next_attempt_at
        end;
        new.hold_id := null;
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__plan_lookup() is
    'Trigger: sets next_lookup_at when a transfer becomes parked or fails, clears it and hold_id '
    'when it moves.';
