-- transfer_request: the parameters of POST /v1/transfers for one of our transfers.
--
-- Nothing volatile is in it: a retry repeats it to the letter. Stripe sets transfer_group itself
-- when source_transaction is given: it is left out then. jsonb_object takes texts only, and costs
-- a fraction of jsonb_build_object.

create or replace function payout.transfer_request(
    p_transfer payout.payout_transfers,
    p_destination text,
    p_metadata jsonb,
    p_installation_id text
)
returns jsonb
language sql
stable
return jsonb_object(array[
    'currency', p_transfer.currency,
    'destination', p_destination,
    case when p_transfer.source_transaction is null
        then 'transfer_group' else 'source_transaction' end,
    coalesce(p_transfer.source_transaction, p_transfer.payout_ref)
]) || jsonb_build_object(
    'amount', p_transfer.amount_minor,
    'metadata', p_metadata || jsonb_object(array[
        'payout_engine', p_installation_id,
        'payout_ref', p_transfer.payout_ref,
        'settlement_id', p_transfer.settlement_id,
        'payee_id', p_transfer.payee_id]));
comment on function payout.transfer_request(payout.payout_transfers, text, jsonb, text) is
    'The request for a transfer to an account, with the metadata of its settlement and the '
    'installation''s id.';
