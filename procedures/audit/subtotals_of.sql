-- subtotals_of: the sums, at the end of a seal of the ledger, of each account that its range moved.
--
-- Each is the sum at the end of the former seal that moved the account, and the entries of the
-- range. The accounts of all payees stand together as payable too, the control account.

create or replace function payout.subtotals_of(p_seal payout.seals)
returns setof payout.seal_subtotals
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select m.account, m.currency, p_seal.seal_id,
        coalesce(f.debit_minor, 0) + m.debit_minor,
        coalesce(f.credit_minor, 0) + m.credit_minor,
        coalesce(f.debits, 0) + m.debits,
        coalesce(f.credits, 0) + m.credits
    from (
        select a.account, e.currency, sum(x.debit_minor) as debit_minor,
            sum(x.credit_minor) as credit_minor, sum(x.debits) as debits,
            sum(x.credits) as credits
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
        ) as x (account, debit_minor, credit_minor, debits, credits)
        cross join lateral (values
            (x.account), (nullif(split_part(x.account, ':', 1), x.account))
        ) as a (account)
        where p_seal.table_name = 'ledger_entries'
            and e.ledger_entry_id between p_seal.first_id and p_seal.last_id
            and a.account is not null
        group by a.account, e.currency
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
    'range; no row for a seal of another table.';
