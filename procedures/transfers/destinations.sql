-- destinations: the Stripe accounts to which a transfer, or one key of it, may have been sent.
--
-- A restored database may have forgotten requests: so they are all accounts of the payee, where the
-- request under the key is not known.

create or replace function payout.destinations(
    p_transfer payout.payout_transfers, p_generation integer default null
)
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (select array[r.destination]
            from payout.transfer_requests as r
            where r.payout_transfer_id = p_transfer.payout_transfer_id
                and r.generation = p_generation),
        (select array_agg(d.destination order by d.destination)
            from (
                select r.destination
                from payout.transfer_requests as r
                where r.payout_transfer_id = p_transfer.payout_transfer_id
                union
                select a.stripe_account_id
                from payout.payee_accounts as a
                where a.payee_id = p_transfer.payee_id
            ) as d));
end
$$;
comment on function payout.destinations(payout.payout_transfers, integer) is
    'The account in the request under the key; without a key, or its request, the accounts in all '
    'requests of a transfer and those of its payee; null: there is none.';
