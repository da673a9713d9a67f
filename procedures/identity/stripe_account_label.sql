-- stripe_account_label: a Stripe account and its mode, as text for messages.

create or replace function payout.stripe_account_label(
    p_stripe_account_id text, p_is_livemode boolean
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('%s in %s mode', coalesce(p_stripe_account_id, 'an account not named'),
        case p_is_livemode when true then 'live' when false then 'test' else 'unknown' end);
end
$$;
comment on function payout.stripe_account_label(text, boolean) is
    'Text such as: acct_1 in live mode.';
