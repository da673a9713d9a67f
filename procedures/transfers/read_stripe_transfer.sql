-- read_stripe_transfer: Stripe's transfer object, from a list or an event, as a row.
--
-- The one reader of that object. It takes whatever JSON it is given: a field of the wrong type
-- is null, never an error, so that nobody's object stops the reading of others. It calls little:
-- it runs for each object of each page.

create or replace function payout.read_stripe_transfer(p_object jsonb)
returns payout.stripe_transfer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_installation_id text := (select e.installation_id from payout.engine_settings as e);
    v_transfer payout.stripe_transfer;
    v_metadata jsonb := p_object -> 'metadata';
    v_created bigint := payout.read_whole(p_object -> 'created');
begin
    v_transfer.object := case jsonb_typeof(p_object -> 'object')
        when 'string' then p_object ->> 'object' end;
    v_transfer.stripe_transfer_id := case
        when jsonb_typeof(p_object -> 'id') = 'string' and length(p_object ->> 'id') <= 255
            then substring(p_object ->> 'id' from '^tr_[A-Za-z0-9_]+$') end;
    v_transfer.amount_minor := payout.read_whole(p_object -> 'amount');
    v_transfer.amount_reversed_minor := payout.read_whole(p_object -> 'amount_reversed');
    v_transfer.currency := case jsonb_typeof(p_object -> 'currency')
        when 'string' then substring(p_object ->> 'currency' from '^[a-z]{3}$') end;
    v_transfer.destination := case jsonb_typeof(p_object -> 'destination')
        when 'string' then p_object ->> 'destination' end;
    v_transfer.is_livemode := case jsonb_typeof(p_object -> 'livemode')
        when 'boolean' then (p_object -> 'livemode')::boolean end;
    v_transfer.source_transaction := case jsonb_typeof(p_object -> 'source_transaction')
        when 'string' then p_object ->> 'source_transaction' end;
    v_transfer.transfer_group := case jsonb_typeof(p_object -> 'transfer_group')
        when 'string' then p_object ->> 'transfer_group' end;
    -- A value of metadata has 500 characters at most, and an index takes no much longer one.
    v_transfer.payout_ref := payout.read_text(v_metadata -> 'payout_ref');
    v_transfer.settlement_id := case jsonb_typeof(v_metadata -> 'settlement_id')
        when 'string' then v_metadata ->> 'settlement_id' end;
    v_transfer.payee_id := case jsonb_typeof(v_metadata -> 'payee_id')
        when 'string' then v_metadata ->> 'payee_id' end;
    v_transfer.payout_engine := case jsonb_typeof(v_metadata -> 'payout_engine')
        when 'string' then v_metadata ->> 'payout_engine' end;
    -- Metadata can be edited, the group cannot; but of what a charge pays Stripe sets the group.
    v_transfer.belongs_to := case
        when length(v_transfer.transfer_group) = 47
            and v_transfer.transfer_group ~ '^payout_[0-9a-f]+$' then v_transfer.transfer_group
        when not coalesce(v_transfer.payout_ref ~ '^payout_[0-9a-f]+$', false)
            and num_nulls(v_transfer.settlement_id, v_transfer.payee_id) = 0
            then payout.payout_ref(coalesce(v_transfer.payout_engine, v_installation_id),
                v_transfer.settlement_id, v_transfer.payee_id, v_transfer.source_transaction)
        else v_transfer.payout_ref
    end;
    -- Up to the end of the year 9999.
    v_transfer.created_at := case
        when v_created < 253402300800 then to_timestamp(v_created) end;
    v_transfer.is_readable := coalesce(v_transfer.object = 'transfer'
        and num_nulls(v_transfer.stripe_transfer_id, v_transfer.amount_minor, v_transfer.currency,
            v_transfer.destination) = 0
        and coalesce(jsonb_typeof(v_metadata), 'null') in ('object', 'null')
        -- These may be absent, or null; anything else that is null here could not be read.
        and num_nulls(
            nullif(p_object -> 'source_transaction', 'null'),
            nullif(p_object -> 'transfer_group', 'null'),
            nullif(v_metadata -> 'payout_ref', 'null'),
            nullif(v_metadata -> 'settlement_id', 'null'),
            nullif(v_metadata -> 'payee_id', 'null')
        ) = num_nulls(v_transfer.source_transaction, v_transfer.transfer_group,
            v_transfer.payout_ref, v_transfer.settlement_id, v_transfer.payee_id),
        false);
    return v_transfer;
end
$$;
comment on function payout.read_stripe_transfer(jsonb) is
    'Reads one object; null where a field is absent or cannot be read.';
