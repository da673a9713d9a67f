-- destinations: the Stripe accounts to which a transfer may have been sent.
--
-- A restored database may have forgotten the request: then it is any account of the payee.

create or replace function payout.destinations(p_transfer payout.payout_transfers)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (select array_agg(distinct r.destination)
            from payout.transfer_requests as r
            where r.payout_transfer_id = p_transfer.payout_transfer_id),
        (select array_agg(distinct a.stripe_account_id)
            from payout.payee_accounts as a
            where a.payee_id = p_transfer.payee_id))
$$;
comment on function payout.destinations(payout.payout_transfers) is
    'The accounts in the requests of a transfer, under all its keys; before the first request, '
    'those of its payee.';
