-- ledger_totals: the trial balance of an interval: opening, debit, credit and closing balances.
--
-- payable is the control account of the books; that of each payee is in balances_as_of. A
-- microsecond is the smallest step of time here.

create or replace function payout_api.ledger_totals(p_from timestamptz, p_to timestamptz)
returns table (
    account text,
    currency payout.currency_code,
    accounts bigint,
    debit_minor numeric,
    credit_minor numeric,
    opening numeric,
    debit numeric,
    credit numeric,
    closing numeric
)
language sql
stable
strict
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select t.account, t.currency, t.accounts, t.debit_minor, t.credit_minor,
        t.opening_minor * c.minor_unit, t.debit_minor * c.minor_unit,
        t.credit_minor * c.minor_unit, t.closing_minor * c.minor_unit
    from (
        select split_part(b.account, ':', 1) as account, b.currency,
            count(*) filter (where b.sign = 1) as accounts,
            sum(b.debit_minor * b.sign) as debit_minor,
            sum(b.credit_minor * b.sign) as credit_minor,
            coalesce(sum(b.balance_minor) filter (where b.sign = -1), 0) as opening_minor,
            coalesce(sum(b.balance_minor) filter (where b.sign = 1), 0) as closing_minor
        from (
            select a.*, -1 as sign
            from payout_api.balances_as_of(p_from - interval '1 microsecond') as a
            union all
            select z.*, 1
            from payout_api.balances_as_of(p_to - interval '1 microsecond') as z
        ) as b
        group by split_part(b.account, ':', 1), b.currency
    ) as t
    left join payout.currencies as c on c.currency = t.currency
    order by t.currency, t.account
$$;
comment on function payout_api.ledger_totals(timestamptz, timestamptz) is
    'Per account and currency, payable for those of all payees: how many accounts they are, debit '
    'and credit of the entries from p_from on and before p_to, in minor units and in the currency '
    'itself, between the balances before and after. Null for a time: no rows.';
grant execute on function payout_api.ledger_totals(timestamptz, timestamptz)
    to payout_operator, payout_auditor;
