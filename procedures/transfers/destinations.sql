-- destinations: the Stripe accounts to which a transfer may have been sent.
--
-- A restored database may have forgotten requests: so they are all accounts of the payee.

create or replace function payout.destinations(p_transfer payout.payout_transfers)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array_agg(d.destination order by d.destination)
    from (
        select r.destination
        from payout.transfer_requests as r
        where r.payout_transfer_id = p_transfer.payout_transfer_id
        union
        select a.stripe_account_id
        from payout.payee_accounts as a
        where a.payee_id = p_transfer.payee_id
    ) as d
$$;
comment on function payout.destinations(payout.payout_transfers) is
    'The accounts in the requests of a transfer, under all its keys, and those of its payee; null: '
    'there is none.';
