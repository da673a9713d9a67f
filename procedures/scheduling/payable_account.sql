-- payable_account: the Stripe account to which an amount can be sent to a payee.

create or replace function payout.payable_account(
    p_payee_id text, p_amount_minor bigint, p_currency text
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_account text;
begin
    select a.stripe_account_id into v_account
    from payout.currencies as c
    cross join payout.payee_accounts as a
    where c.currency = p_currency
        and p_amount_minor <= c.largest_amount_minor
        and p_amount_minor % c.amount_step = 0
        and a.payee_id = p_payee_id
    order by a.payee_account_id desc
    limit 1;
    return v_account;
end
$$;
comment on function payout.payable_account(text, bigint, text) is
    'The account a payee is paid to from now on; null if there is none, or if the amount is not '
    'one that Stripe takes in this currency.';
