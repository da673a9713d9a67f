-- subtotals_of: the sums, at the end of a seal, of each account that its range moved.
--
-- Each is the sum at the end of the former seal that moved the account, and the entries of the
-- range. The accounts of all payees stand together as payable too, the control account.

create or replace function payout.subtotals_of(p_seal payout.seals)
returns table (
    account text, currency payout.currency_code, debit_minor numeric, credit_minor numeric,
    debits bigint, credits bigint
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with moved as (
        select a.account, e.currency, sum(a.debit_minor) as debit_minor,
            sum(a.credit_minor) as credit_minor, sum(a.debits) as debits,
            sum(a.credits) as credits
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
        ) as a (account, debit_minor, credit_minor, debits, credits)
        where e.ledger_entry_id between p_seal.first_id and p_seal.last_id
        group by a.account, e.currency
    )
    select m.account, m.currency,
        coalesce(f.debit_minor, 0) + m.debit_minor,
        coalesce(f.credit_minor, 0) + m.credit_minor,
        coalesce(f.debits, 0) + m.debits::bigint,
        coalesce(f.credits, 0) + m.credits::bigint
    from (
        table moved
        union all
        select split_part(p.account, ':', 1), p.currency, sum(p.debit_minor),
            sum(p.credit_minor), sum(p.debits), sum(p.credits)
        from moved as p
        where p.account like '%:%'
        group by split_part(p.account, ':', 1), p.currency
    ) as m
    left join lateral (
        select t.debit_minor, t.credit_minor, t.debits, t.credits
        from payout.seal_subtotals as t
        where t.account = m.account and t.currency = m.currency and t.seal_id < p_seal.seal_id
        order by t.seal_id desc
        limit 1
    ) as f on true
$$;
comment on function payout.subtotals_of(payout.seals) is
    'Debits and credits in minor units, and how many, from the first entry to the last of the '
    'range.';
