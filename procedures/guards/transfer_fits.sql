-- transfer_fits: the rules of a row of payout_transfers.
--
-- The frozen request says nothing else than the row it stands in, and the row's
-- identity follows from the business.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.transfer_fits(p_transfer payout.payout_transfers)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text := case
        when p_transfer.amount_minor <= 0 then 'amount_is_positive'
        when not starts_with(p_transfer.destination, 'acct_') then 'destination_is_a_stripe_account'
        when p_transfer.payout_ref <> payout.payout_ref(
                p_transfer.settlement_id, p_transfer.payee_id, p_transfer.source_transaction)
            then 'payout_ref_is_derived'
        when array[
                p_transfer.request ->> 'amount',
                p_transfer.request ->> 'currency',
                p_transfer.request ->> 'destination',
                p_transfer.request ->> 'source_transaction',
                p_transfer.request #>> '{metadata,payout_ref}',
                p_transfer.request #>> '{metadata,settlement_id}',
                p_transfer.request #>> '{metadata,payee_id}'
            ] <> array[
                p_transfer.amount_minor::text, p_transfer.currency, p_transfer.destination,
                p_transfer.source_transaction, p_transfer.payout_ref, p_transfer.settlement_id,
                p_transfer.payee_id]
            then 'request_says_what_the_row_says'
    end;
begin
    return v_broken is null or payout.refuse_row('payout_transfers', v_broken);
end
$$;
comment on function payout.transfer_fits(payout.payout_transfers) is
    'Check: amount > 0, payout_ref is derived, the request says what the row says.';
