-- add_currency: let settlements be in a currency that the engine does not know yet.
--
-- Called by: operator, when Stripe adds one before a release does. It cannot be taken back: hold
-- the currency instead.
-- Safe to repeat: a currency that is there with the same digits and step is returned.
-- Raises: 23514 digits or a step that no currency has; SP313 no currency, digits or reason, or it
-- is there otherwise.

create or replace function payout_api.add_currency(
    p_currency text, p_minor_digits integer, p_reason text, p_amount_step integer default 1
)
returns payout.currencies
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_step integer := coalesce(p_amount_step, 1);
    v_currency payout.currencies;
begin
    if coalesce(btrim(p_reason), '') = '' or p_currency is null or p_minor_digits is null then
        raise exception 'currency % is not added without its digits and a reason',
            coalesce(p_currency, 'null')
            using
                errcode = 'SP313',
                hint = 'Say where Stripe says that it transfers it.';
    end if;

    insert into payout.currencies (currency, minor_digits, amount_step)
    values (p_currency, p_minor_digits, v_step)
    on conflict (currency) do nothing
    returning * into v_currency;
    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('add_currency', v_currency.currency, p_reason, to_jsonb(v_currency));
        return v_currency;
    end if;

    select * into strict v_currency from payout.currencies as c where c.currency = p_currency;
    if (v_currency.minor_digits, v_currency.amount_step)
        is distinct from (p_minor_digits, v_step) then
        raise exception 'currency % is there with % digits and step %', p_currency,
            v_currency.minor_digits, v_currency.amount_step
            using
                errcode = 'SP313',
                hint = 'Amounts that are booked rely on them: they do not change.';
    end if;
    return v_currency;
end
$$;
comment on function payout_api.add_currency(text, integer, text, integer) is
    'Adds a currency with its decimal places, and the number that amounts must be a multiple of; '
    'on record with the reason. Safe to repeat.';
grant execute on function payout_api.add_currency(text, integer, text, integer)
    to payout_operator;
