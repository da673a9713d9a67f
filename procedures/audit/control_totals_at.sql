-- control_totals_at: what had been booked on each general account at each of several times.
--
-- It reads a sub-total of each account and currency for each time, and each range of entries that
-- is not covered by them once: the same cost, however many entries and payees there are.
-- Called by: control_totals, money_flow.

create or replace function payout.control_totals_at(p_times timestamptz[])
returns table (
    at timestamptz,
    account text,
    currency payout.currency_code,
    debit_minor numeric,
    credit_minor numeric,
    debits bigint,
    credits bigint
)
language sql
stable
set search_path = pg_catalog, pg_temp
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
    ), ranges as materialized (
        select t.at, r.seal_id, r.first_id, r.last_id
        from unnest(p_times) as t (at)
        cross join lateral payout.ledger_ranges_at(t.at) as r
    )
    select b.at, b.account, b.currency, sum(b.debit_minor), sum(b.credit_minor),
        sum(b.debits)::bigint, sum(b.credits)::bigint
    from (
        select r.at, c.account, c.currency::payout.currency_code as currency, t.debit_minor,
            t.credit_minor, t.debits, t.credits
        from ranges as r
        cross join currencies as c
        cross join lateral (
            select s.* from payout.seal_subtotals as s
            where s.account = c.account and s.currency = c.currency and s.seal_id <= r.seal_id
            order by s.seal_id desc
            limit 1
        ) as t
        union all
        select w.at, split_part(m.account, ':', 1), e.currency, m.debit_minor, m.credit_minor,
            m.debits, m.credits
        from (
            select r.first_id, r.last_id, array_agg(r.at) as times
            from ranges as r
            where r.seal_id is null
            group by r.first_id, r.last_id
        ) as g
        cross join lateral (
            -- Kept apart by the offset, so that each range is read by its ids.
            select l.* from payout.ledger_entries as l
            where l.ledger_entry_id between g.first_id and g.last_id
            offset 0
        ) as e
        cross join lateral unnest(g.times) as w (at)
        cross join lateral (values
            (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
        ) as m (account, debit_minor, credit_minor, debits, credits)
        where e.created_at <= w.at
    ) as b
    group by b.at, b.account, b.currency
$$;
comment on function payout.control_totals_at(timestamptz[]) is
    'For each time: debits and credits of each general account and currency in minor units, and '
    'how many, of the entries whose transaction had begun by then; payable is that of all payees.';
