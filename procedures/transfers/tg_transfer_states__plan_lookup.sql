-- tg_transfer_states__plan_lookup: whatever is parked is looked up at Stripe at once.
--
-- One place for all who park: a report, an expired lease or key, an alarm. While
-- it stays parked the time is moved, or taken away, by who judges the look-up.

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
