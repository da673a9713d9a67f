-- lookup_queries: the queries that together list a transfer, if Stripe has it.
--
-- One asks for its transfer_group, unless Stripe sets the group itself for a source_transaction.
-- One asks for each of its destinations, from a day before its first attempt, as clocks differ.
-- Without an attempt here it has no start: a restored database may have forgotten attempts.

create or replace function payout.lookup_queries(p_transfer payout.payout_transfers)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_sent_since timestamptz := (
        select least(p_transfer.created_at, min(a.claimed_at)) - interval '1 day'
        from payout.transfer_attempts as a
        where a.payout_transfer_id = p_transfer.payout_transfer_id
        having count(*) > 0);
begin
    return case
        when p_transfer.source_transaction is null
            then jsonb_build_array(jsonb_build_object('transfer_group', p_transfer.payout_ref))
        else '[]'
    end || (
        select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
            'destination', d.destination,
            'created', case when v_sent_since is not null then
                jsonb_build_object('gte', floor(extract(epoch from v_sent_since))::bigint)
            end)))
        from unnest(payout.destinations(p_transfer)) as d (destination));
end
$$;
comment on function payout.lookup_queries(payout.payout_transfers) is
    'Parameters of GET /v1/transfers, one object a query.';
