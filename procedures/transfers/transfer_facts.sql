-- transfer_facts: one of our transfers in the terms of a listed transfer, to compare the two.

create or replace function payout.transfer_facts(
    p_transfer payout.payout_transfers, p_is_livemode boolean
)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'payout_ref', p_transfer.payout_ref,
        'settlement_id', p_transfer.settlement_id,
        'amount_minor', p_transfer.amount_minor,
        'currency', p_transfer.currency,
        'destination', p_transfer.destination,
        'is_livemode', p_is_livemode);
end
$$;
comment on function payout.transfer_facts(payout.payout_transfers, boolean) is
    'Reference, settlement, amount, currency, destination and mode of a transfer by these books.';
