-- money_flow: the money that was settled, paid, declined and taken back on each day.
--
-- Half-open, so that months add up. A day's money is what the general accounts have more at its
-- end than at its beginning: the cost grows with the days, not with their entries. A decline is
-- what payable was credited by neither a settlement nor a reversal. Either end may be infinite: the
-- first day is that of the earliest entry, the last one ends with the next midnight.

create or replace function payout_api.money_flow(p_from timestamptz, p_to timestamptz)
returns table (
    day date,
    currency payout.currency_code,
    transfers_settled bigint,
    transfers_paid bigint,
    settled_minor numeric,
    paid_minor numeric,
    failed_minor numeric,
    taken_back_minor numeric,
    settled numeric,
    paid numeric,
    failed numeric,
    taken_back numeric
)
language sql
stable
strict
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    with beginning as (
        -- The earliest entry may not be the first by its number.
        select greatest(p_from, least(min(s.rows_from), (
            select min(l.created_at) from payout.ledger_entries as l
            where l.ledger_entry_id > coalesce(max(s.last_id), -9223372036854775808)))) as at
        from payout.seals as s
        where s.table_name = 'ledger_entries'
    ), moments as (
        -- The ends of the interval and the midnights between them.
        select d.at, lag(d.at) over (order by d.at) as former
        from beginning as b
        cross join lateral (
            select b.at
            union
            select m.at
            from generate_series(date_trunc('day', b.at) + interval '1 day',
                least(p_to, now() + interval '1 day'), interval '1 day') as m (at)
            where m.at < p_to
            union
            select p_to
        ) as d (at)
        where isfinite(b.at) and b.at < p_to
    ), totals as materialized (
        -- A microsecond is the smallest step of time here.
        select t.at + interval '1 microsecond' as at, t.account, t.currency, t.debit_minor,
            t.credit_minor, t.debits, t.credits
        from payout_api.account_totals_at(
            array(select m.at - interval '1 microsecond' from moments as m),
            '{settlement_funds,payable,stripe_balance}') as t
    ), flow as (
        select m.former::date as day, t.currency,
            sum(case t.account when 'settlement_funds' then t.debits else 0 end * x.sign)
                as settled_count,
            sum(case t.account when 'stripe_balance' then t.credits else 0 end * x.sign)
                as paid_count,
            sum(case t.account when 'settlement_funds' then t.debit_minor else 0 end * x.sign)
                as settled,
            sum(case t.account when 'stripe_balance' then t.credit_minor else 0 end * x.sign)
                as paid,
            sum(case t.account when 'payable' then t.credit_minor else -t.debit_minor end * x.sign)
                as failed,
            sum(case t.account when 'stripe_balance' then t.debit_minor else 0 end * x.sign)
                as taken_back
        from moments as m
        cross join lateral (values (m.former, -1), (m.at, 1)) as x (at, sign)
        join totals as t on t.at = x.at
        where m.former is not null
        group by m.former::date, t.currency
    )
    select f.day, f.currency, f.settled_count::bigint, f.paid_count::bigint,
        f.settled, f.paid, f.failed, f.taken_back,
        f.settled * c.minor_unit, f.paid * c.minor_unit, f.failed * c.minor_unit,
        f.taken_back * c.minor_unit
    from flow as f
    left join payout.currencies as c on c.currency = f.currency
    where (f.settled, f.paid, f.failed, f.taken_back) <> (0, 0, 0, 0)
    order by f.day, f.currency
$$;
comment on function payout_api.money_flow(timestamptz, timestamptz) is
    'For each day (UTC) and currency in which any was booked: the amounts that settlements owed, '
    'that were paid, that were declined, and that Stripe took back, in minor units and in the '
    'currency itself. From p_from on, before p_to. Null for a time: no rows.';
grant execute on function payout_api.money_flow(timestamptz, timestamptz)
    to payout_operator, payout_auditor;
