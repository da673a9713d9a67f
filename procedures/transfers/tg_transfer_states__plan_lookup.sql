-- tg_transfer_states__plan_lookup: plan the first look-up of a transfer that becomes parked.
--
-- It serves every way to be parked: a report, an expired lease or key, an alarm. While the
-- transfer stays parked, the functions that judge the look-up move the time or clear it.

create or replace function payout.tg_transfer_states__plan_lookup()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    new.next_lookup_at := case new.state when 'parked' then payout.clock() end;
    return new;
end
$$;
comment on function payout.tg_transfer_states__plan_lookup() is
    'Trigger: sets next_lookup_at when a transfer becomes parked, clears it when it leaves.';
