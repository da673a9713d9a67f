-- match_facts: the fields of a listed transfer that are judged.

create or replace function payout.match_facts(p_transfer jsonb)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'object', p_transfer ->> 'object',
        'stripe_transfer_id', p_transfer ->> 'id',
        'amount_minor', case
            when p_transfer ->> 'amount' ~ '^[0-9]{1,18}$' then (p_transfer ->> 'amount')::bigint
        end,
        'currency', p_transfer ->> 'currency',
        'destination', p_transfer ->> 'destination',
        'is_livemode', case
            when jsonb_typeof(p_transfer -> 'livemode') = 'boolean' then p_transfer -> 'livemode'
        end,
        'payout_ref', p_transfer #>> '{metadata,payout_ref}',
        'amount_reversed_minor', case
            when p_transfer ->> 'amount_reversed' ~ '^[0-9]{1,18}$'
                then (p_transfer ->> 'amount_reversed')::bigint
        end);
end
$$;
comment on function payout.match_facts(jsonb) is
    'The fields by their names in payout.outcome; null where one cannot be read.';
