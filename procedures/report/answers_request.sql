-- answers_request: test whether an answer is the very transfer that was asked for.
--
-- Its payout_ref is made with the installation's id, and names settlement and payee.

create or replace function payout.answers_request(
    p_outcome payout.outcome,
    p_transfer payout.payout_transfers,
    p_destinations text[],
    p_settings payout.engine_settings
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        p_outcome.object = 'transfer'
        and p_outcome.stripe_transfer_id is not null
        and p_outcome.amount_minor = p_transfer.amount_minor
        and p_outcome.currency = p_transfer.currency
        and p_outcome.destination = any (p_destinations)
        and p_outcome.payout_ref = p_transfer.payout_ref
        and p_outcome.payout_engine = p_settings.installation_id
        and p_outcome.is_livemode is not null
        and coalesce(p_outcome.is_livemode = p_settings.is_livemode, true),
        false);
end
$$;
comment on function payout.answers_request(
    payout.outcome, payout.payout_transfers, text[], payout.engine_settings
) is
    'True when object, id, amount, currency, mode, payout_ref and installation are those asked '
    'for, and the destination is one of those given.';
