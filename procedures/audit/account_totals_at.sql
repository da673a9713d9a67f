-- account_totals_at: what had been booked on accounts at each of several times.
--
-- It steps from one account and currency to the next by index, takes the newest sub-total of each
-- for each time, and reads each range of entries that is not covered by them once: its cost grows
-- with accounts and times, not with their history.
-- Called by: functions and views about balances, hence all who may read these.

create or replace function payout_api.account_totals_at(p_times timestamptz[], p_accounts text[])
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
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    with recursive steps (account, currency, last_account) as (
        select coalesce(a.account, ''), ''::text,
            coalesce(a.account, (select max(t.account) from payout.seal_subtotals as t))
        from unnest(coalesce(p_accounts, '{null}')) as a (account)
        union all
        select n.account, n.currency, s.last_account
        from steps as s
        cross join lateral (
            select t.account, t.currency::text
            from payout.seal_subtotals as t
            where (t.account, t.currency) > (s.account, s.currency) and t.account <= s.last_account
            order by t.account, t.currency
            limit 1
        ) as n
    ), ranges as materialized (
        select t.at, r.seal_id, r.first_id, r.last_id
        from unnest(p_times) as t (at)
        cross join lateral payout.ledger_ranges_at(t.at) as r
    )
    select b.at, b.account, b.currency, sum(b.debit_minor), sum(b.credit_minor),
        sum(b.debits)::bigint, sum(b.credits)::bigint
    from (
        select r.at, t.account, t.currency, t.debit_minor, t.credit_minor, t.debits, t.credits
        from ranges as r
        cross join steps as s
        cross join lateral (
            select t.* from payout.seal_subtotals as t
            where t.account = s.account and t.currency = s.currency and t.seal_id <= r.seal_id
            order by t.seal_id desc
            limit 1
        ) as t
        union all
        select w.at, a.account, e.currency, m.debit_minor, m.credit_minor, m.debits, m.credits
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
        cross join lateral (values
            (m.account), (nullif(split_part(m.account, ':', 1), m.account))
        ) as a (account)
        where e.created_at <= w.at
            and (a.account = any (p_accounts) or (p_accounts is null and a.account is not null))
    ) as b
    group by b.at, b.account, b.currency
$$;
comment on function payout_api.account_totals_at(timestamptz[], text[]) is
    'For each time and account (null: every one): debits and credits in minor units, and how many, '
    'of the entries whose transaction had begun by then; payable is that of all payees.';
grant execute on function payout_api.account_totals_at(timestamptz[], text[])
    to payout_operator, payout_auditor;
