-- control_totals: what was booked on each general account, those of all payees together.
--
-- It reads sub-totals of sealed entries and the entries that came since: a few rows of each
-- account and currency, however many entries and payees there are.
-- Called by: the views overview and trial_balance, hence by those who may read them.

create or replace function payout_api.control_totals()
returns table (
    account text,
    currency payout.currency_code,
    debit_minor numeric,
    credit_minor numeric,
    debits bigint,
    credits bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    with recursive currencies as (
        select a.account, (
            select min(t.currency::text) from payout.seal_subtotals as t
            where t.account = a.account) as currency
        from payout.ledger_accounts as a
        union all
        select c.account, (
            select min(t.currency::text) from payout.seal_subtotals as t
            where t.account = c.account and t.currency > c.currency)
        from currencies as c
        where c.currency is not null
    )
    select b.account, b.currency, sum(b.debit_minor), sum(b.credit_minor), sum(b.debits)::bigint,
        sum(b.credits)::bigint
    from (
        select c.account, c.currency::payout.currency_code as currency, t.debit_minor,
            t.credit_minor, t.debits, t.credits
        from currencies as c
        cross join lateral (
            select s.* from payout.seal_subtotals as s
            where s.account = c.account and s.currency = c.currency
            order by s.seal_id desc
            limit 1
        ) as t
        union all
        select split_part(m.account, ':', 1), e.currency, m.debit_minor, m.credit_minor,
            m.debits, m.credits
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
        ) as m (account, debit_minor, credit_minor, debits, credits)
        where e.ledger_entry_id > coalesce((
            select max(s.last_id) from payout.seals as s where s.table_name = 'ledger_entries'),
            -9223372036854775808)
    ) as b
    group by b.account, b.currency
$$;
comment on function payout_api.control_totals() is
    'Debits and credits of each general account and currency in minor units, and how many; account '
    'payable stands for those of all payees. The balance is credit minus debit.';
revoke execute on function payout_api.control_totals() from public;
grant execute on function payout_api.control_totals() to payout_operator, payout_auditor;
