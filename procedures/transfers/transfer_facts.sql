-- transfer_facts: one of our transfers in the terms of a listed transfer, to compare the two.

create or replace function payout.transfer_facts(
    p_transfer payout.payout_transfers, p_is_livemode boolean
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'payout_ref', p_transfer.payout_ref,
        'settlement_id', p_transfer.settlement_id,
        'amount_minor', p_transfer.amount_minor,
        'currency', p_transfer.currency,
        'destination', (
            select r.destination
            from payout.transfer_requests as r
            where r.payout_transfer_id = p_transfer.payout_transfer_id
            order by r.generation desc
            limit 1),
        'is_livemode', p_is_livemode);
end
$$;
comment on function payout.transfer_facts(payout.payout_transfers, boolean) is
    'Reference, settlement, amount, currency, destination and mode of a transfer by these books.';
