-- expected_destinations: the Stripe accounts to which the present key of a transfer may have paid.

create or replace function payout.expected_destinations(
    p_state payout.transfer_states, p_transfer payout.payout_transfers
)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (select array[r.destination]
            from payout.transfer_requests as r
            where r.payout_transfer_id = p_state.payout_transfer_id
                and r.generation = p_state.generation),
        payout.destinations(p_transfer))
$$;
comment on function payout.expected_destinations(payout.transfer_states, payout.payout_transfers) is
    'The account in the request under the key; without a request, those of payout.destinations.';
