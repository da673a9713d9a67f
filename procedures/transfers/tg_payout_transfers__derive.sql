-- tg_payout_transfers__derive: fill in the columns of a transfer that follow from the others.
--
-- These are its identity, the parameters of POST /v1/transfers and their digest. An insert may
-- leave them out, or give only additional metadata in the request; given values must agree with
-- the derived ones. Nothing volatile is in the request: a retry must repeat it to the letter.
-- Stripe sets transfer_group itself when source_transaction is given: it is left out then.
-- jsonb_object takes texts only, and costs a fraction of jsonb_build_object.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.tg_payout_transfers__derive()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_ref text := payout.payout_ref(
        new.settlement_id, new.payee_id, new.source_transaction);
    v_metadata jsonb := jsonb_object(array[
        'payout_ref', v_payout_ref,
        'settlement_id', new.settlement_id,
        'payee_id', new.payee_id]);
    v_request jsonb;
    v_request_sha256 bytea;
    v_broken text;
begin
    if new.request is not null then
        v_metadata := case jsonb_typeof(new.request -> 'metadata')
            when 'object' then new.request -> 'metadata'
            else '{}'
        end || v_metadata;
    end if;
    v_request := jsonb_object(array[
        'currency', new.currency,
        'destination', new.destination,
        case when new.source_transaction is null
            then 'transfer_group' else 'source_transaction' end,
        coalesce(new.source_transaction, v_payout_ref)
    ]) || jsonb_build_object('amount', new.amount_minor, 'metadata', v_metadata);
    v_request_sha256 := sha256(replace(v_request::text, E'\\', E'\\\\')::bytea);

    if new.amount_minor <= 0 then
        v_broken := 'amount_is_positive';
    elsif not starts_with(new.destination, 'acct_') then
        v_broken := 'destination_is_a_stripe_account';
    elsif new.payout_ref is not null or new.request is not null
        or new.request_sha256 is not null then
        v_broken := case
            when new.payout_ref <> v_payout_ref then 'payout_ref_is_derived'
            when not v_request @> new.request then 'request_says_what_the_row_says'
            when new.request_sha256 <> v_request_sha256 then 'digest_is_of_the_request'
        end;
    end if;
    if v_broken is not null then
        perform payout.refuse_bad_row('payout_transfers', v_broken);
    end if;

    new.payout_ref := v_payout_ref;
    new.request := v_request;
    new.request_sha256 := v_request_sha256;
    return new;
end
$$;
comment on function payout.tg_payout_transfers__derive() is
    'Trigger: fills in payout_ref, request and its digest, or refuses given values that differ, an '
    'amount that is not above 0 and a destination that is no account (23514).';
