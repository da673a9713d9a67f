-- asked_destinations: the accounts to which a request for a transfer may have gone.

create or replace function payout.asked_destinations(p_transfer payout.payout_transfers)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array[p_transfer.destination]
$$;
comment on function payout.asked_destinations(payout.payout_transfers) is
    'Stripe account ids, each once.';
