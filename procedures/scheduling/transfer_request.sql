-- transfer_request: the parameters of POST /v1/transfers for one transfer.
--
-- Nothing volatile is in it: a retry must repeat it to the letter. Stripe sets
-- transfer_group itself when source_transaction is given, so it is left out then.

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
begin
    return jsonb_build_object(
        'amount', p_amount_minor,
        'currency', p_settlement.currency,
        'destination', p_destination,
        'metadata', p_settlement.metadata || jsonb_build_object(
            'payout_ref', p_payout_ref,
            'settlement_id', p_settlement.settlement_id,
            'payee_id', p_payee_id)
    ) || case
        when p_source_transaction is null then jsonb_build_object('transfer_group', p_payout_ref)
        else jsonb_build_object('source_transaction', p_source_transaction)
    end;
end
$$;
comment on function payout.transfer_request(
    text, payout.settlements, text, text, bigint, text
) is 'The request that pays one payee, as it is frozen in payout_transfers and sent to Stripe.';
