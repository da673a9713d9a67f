-- read_stripe_transfer: Stripe's transfer object, from a list or an event, as a row.
--
-- The one reader of that object. It takes whatever JSON it is given: a field of the wrong type
-- is null, never an error, so that nobody's object stops the reading of others.

create or replace function payout.read_stripe_transfer(p_object jsonb)
returns payout.stripe_transfer
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_transfer payout.stripe_transfer;
    v_metadata jsonb := p_object -> 'metadata';
begin
    v_transfer.object := payout.read_text(p_object -> 'object');
    v_transfer.stripe_transfer_id := substring(
        payout.read_text(p_object -> 'id') from '^tr_[A-Za-z0-9_]{1,252}$');
    v_transfer.amount_minor := payout.read_whole(p_object -> 'amount');
    v_transfer.amount_reversed_minor := payout.read_whole(p_object -> 'amount_reversed');
    v_transfer.currency := substring(payout.read_text(p_object -> 'currency') from '^[a-z]{3}$');
    v_transfer.destination := payout.read_text(p_object -> 'destination');
    v_transfer.is_livemode := case
        when jsonb_typeof(p_object -> 'livemode') = 'boolean'
            then (p_object -> 'livemode')::boolean
    end;
    v_transfer.source_transaction := payout.read_text(p_object -> 'source_transaction');
    v_transfer.transfer_group := payout.read_text(p_object -> 'transfer_group');
    v_transfer.payout_ref := payout.read_text(v_metadata -> 'payout_ref');
    v_transfer.settlement_id := payout.read_text(v_metadata -> 'settlement_id');
    v_transfer.payee_id := payout.read_text(v_metadata -> 'payee_id');
    v_transfer.payout_engine := payout.read_text(v_metadata -> 'payout_engine');
    -- Unlike metadata the group cannot be edited: a paid transfer is not sent again because its
    -- metadata are gone.
    v_transfer.belongs_to := coalesce(
        substring(v_transfer.transfer_group from '^payout_[0-9a-f]{40}$'), v_transfer.payout_ref);
    v_transfer.created_at := to_timestamp(
        nullif(least(payout.read_whole(p_object -> 'created'), 253402300800), 253402300800));
    v_transfer.is_readable := v_transfer.object = 'transfer'
        and num_nulls(v_transfer.stripe_transfer_id, v_transfer.amount_minor, v_transfer.currency,
            v_transfer.destination) = 0
        and coalesce(jsonb_typeof(v_metadata), 'null') in ('object', 'null')
        and not exists (
            select
            from (values
                (p_object -> 'source_transaction'), (p_object -> 'transfer_group'),
                (v_metadata -> 'payout_ref'), (v_metadata -> 'settlement_id'),
                (v_metadata -> 'payee_id')
            ) as f (field)
            where jsonb_typeof(f.field) <> 'null' and payout.read_text(f.field) is null);
    v_transfer.is_readable := coalesce(v_transfer.is_readable, false);
    return v_transfer;
end
$$;
comment on function payout.read_stripe_transfer(jsonb) is
    'Reads one object; null where a field is absent or cannot be read.';
