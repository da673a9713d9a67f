-- tg_transfer_states__plan_lookup: plan the first look-up of a transfer that becomes parked.
--
-- It serves every way to be parked: a report, an expired lease or key, an alarm. While the
-- transfer stays parked, the functions that judge the look-up move the time or clear it. A
-- transfer that moves leaves the hold under which it was found: it is asked anew whether it is on
-- hold.

create or replace function payout.tg_transfer_states__plan_lookup()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if (old.state = 'parked') <> (new.state = 'parked') then
        new.next_lookup_at := case new.state when 'parked' then payout.clock() end;
    end if;
    if old.state <> new.state then
        new.hold_id := null;
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__plan_lookup() is
    'Trigger: sets next_lookup_at when a transfer becomes parked, clears it when it leaves; clears '
    'hold_id when a transfer moves.';
