-- major_units: an amount in minor units as people read it.
--
-- Called by: operators and auditors, over columns that end in _minor.

create or replace function payout_api.major_units(p_amount_minor numeric, p_currency text)
returns numeric
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select p_amount_minor * c.minor_unit
    from payout.currencies as c
    where c.currency = p_currency
$$;
comment on function payout_api.major_units(numeric, text) is
    'The amount in the currency itself, with the currency''s digits: 15.00 for 1500 usd; null for '
    'a currency that is not in payout.currencies.';
grant execute on function payout_api.major_units(numeric, text)
    to payout_operator, payout_auditor;
