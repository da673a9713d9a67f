-- request_fits: the frozen request says nothing else than the row it stands in.

create or replace function payout.request_fits(
    p_request jsonb,
    p_amount_minor bigint,
    p_currency text,
    p_destination text,
    p_payout_ref text,
    p_settlement_id text,
    p_payee_id text,
    p_source_transaction text
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        p_request ->> 'amount' = p_amount_minor::text
        and p_request ->> 'currency' = p_currency
        and p_request ->> 'destination' = p_destination
        and p_request ->> 'source_transaction' is not distinct from p_source_transaction
        and p_request -> 'metadata' @> jsonb_build_object(
            'payout_ref', p_payout_ref, 'settlement_id', p_settlement_id, 'payee_id', p_payee_id),
        false);
end
$$;
comment on function payout.request_fits(jsonb, bigint, text, text, text, text, text, text) is
    'True when amount, currency, destination, source and metadata of a request are those given.';
