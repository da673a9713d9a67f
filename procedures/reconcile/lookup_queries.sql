-- lookup_queries: the queries that together list a transfer, if Stripe has it.
--
-- One asks for its transfer_group, unless Stripe sets the group itself for a source_transaction.
-- The others ask for each account that it may have been sent to, from the first transfer on: a
-- start by our clock would hide a transfer if the clock was ever wrong. A restored database may
-- have forgotten every account of the payee: a transfer of a charge is then looked for in the
-- whole list.

create or replace function payout.lookup_queries(p_transfer payout.payout_transfers)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_transfer.source_transaction is null
            then jsonb_build_array(jsonb_build_object('transfer_group', p_transfer.payout_ref))
        when count(d.destination) = 0 then '[{}]'
        else '[]'
    end || coalesce(jsonb_agg(jsonb_build_object('destination', d.destination)), '[]')
    from unnest(payout.destinations(p_transfer)) as d (destination)
$$;
comment on function payout.lookup_queries(payout.payout_transfers) is
    'Parameters of GET /v1/transfers, one object a query.';
