-- subtotals_at: the sums of every account, or of one, at the end of a seal of the ledger.
--
-- It steps from one account to the next by index and takes the newest sub-total of each: its cost
-- grows with the accounts, not with their history.

create or replace function payout.subtotals_at(p_seal_id bigint, p_account text default null)
returns table (
    account text, currency payout.currency_code, debit_minor numeric, credit_minor numeric
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with recursive accounts as (
        (
            select t.account, t.currency
            from payout.seal_subtotals as t
            where t.account >= coalesce(p_account, '')
            order by t.account, t.currency
            limit 1
        )
        union all
        select n.account, n.currency
        from accounts as a
        cross join lateral (
            select t.account, t.currency
            from payout.seal_subtotals as t
            where (t.account, t.currency) > (a.account, a.currency)
                and t.account <= coalesce(p_account, (
                    select max(m.account) from payout.seal_subtotals as m))
            order by t.account, t.currency
            limit 1
        ) as n
    )
    select a.account, a.currency, t.debit_minor, t.credit_minor
    from accounts as a
    cross join lateral (
        select t.debit_minor, t.credit_minor
        from payout.seal_subtotals as t
        where t.account = a.account and t.currency = a.currency and t.seal_id <= p_seal_id
            and t.account = coalesce(p_account, t.account)
        order by t.seal_id desc
        limit 1
    ) as t
$$;
comment on function payout.subtotals_at(bigint, text) is
    'Debits and credits in minor units, from the first entry to the end of the seal.';
