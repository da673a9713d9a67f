-- transfer_request: the parameters of POST /v1/transfers for one transfer.
--
-- Nothing volatile is in it: a retry must repeat it to the letter. Stripe sets
-- transfer_group itself when source_transaction is given, so it is left out then.
-- jsonb_object takes texts only, and costs a fraction of jsonb_build_object.

create or replace function payout.transfer_request(
    p_payout_ref text,
    p_settlement payout.settlements,
    p_payee_id text,
    p_destination text,
    p_amount_minor bigint,
    p_source_transaction text
)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_metadata jsonb := jsonb_object(array[
        'payout_ref', p_payout_ref,
        'settlement_id', p_settlement.settlement_id,
        'payee_id', p_payee_id]);
begin
    if p_settlement.metadata <> '{}' then
        v_metadata := p_settlement.metadata || v_metadata;
    end if;
    return jsonb_object(array[
        'currency', p_settlement.currency,
        'destination', p_destination,
        case when p_source_transaction is null then 'transfer_group' else 'source_transaction' end,
        coalesce(p_source_transaction, p_payout_ref)
    ]) || jsonb_build_object('amount', p_amount_minor, 'metadata', v_metadata);
end
$$;
comment on function payout.transfer_request(
    text, payout.settlements, text, text, bigint, text
) is 'The request that pays one payee, as it is frozen in payout_transfers and sent to Stripe.';
