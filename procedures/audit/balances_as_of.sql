-- balances_as_of: the balance of each account at a time.
--
-- An entry counts from the moment its transaction began (created_at), with all others of that
-- transaction, but shows only once it has committed: the balances of a moment may still change
-- while a transaction that began before it runs.
-- Sealed ranges are not read again: their sub-totals stand for them.

create or replace function payout_api.balances_as_of(p_at timestamptz)
returns table (
    account text,
    currency payout.currency_code,
    debit_minor numeric,
    credit_minor numeric,
    balance_minor numeric
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    with sealed as (
        -- The longest run of seals all of whose entries count.
        select s.seal_id, s.last_id
        from payout.seals as s
        where s.table_name = 'ledger_entries' and s.rows_until <= p_at
        order by s.last_id desc
        limit 1
    ), rest as (
        -- Ranges beyond it that begin early enough, then the rows that are not sealed yet.
        select s.first_id, s.last_id
        from payout.seals as s
        where s.table_name = 'ledger_entries' and s.rows_from <= p_at
            and s.last_id > coalesce((select b.last_id from sealed as b), -9223372036854775808)
        union all
        select coalesce(max(s.last_id) + 1, -9223372036854775808), 9223372036854775807
        from payout.seals as s
        where s.table_name = 'ledger_entries'
    )
    select b.account, b.currency, sum(b.debit_minor), sum(b.credit_minor),
        sum(b.credit_minor) - sum(b.debit_minor)
    from (
        select t.* from sealed as s cross join lateral payout.subtotals_at(s.seal_id) as t
        where t.account <> 'payable'
        union all
        select m.*
        from rest as r
        cross join lateral (
            -- Kept apart by the offset, so that each range is read by its ids.
            select l.* from payout.ledger_entries as l
            where l.ledger_entry_id between r.first_id and r.last_id
            offset 0
        ) as e
        cross join lateral (values
            (e.debit_account, e.currency, e.amount_minor, 0::bigint),
            (e.credit_account, e.currency, 0::bigint, e.amount_minor)
        ) as m (account, currency, debit_minor, credit_minor)
        where e.created_at <= p_at
    ) as b
    group by b.account, b.currency
$$;
comment on function payout_api.balances_as_of(timestamptz) is
    'Credit minus debit of every account and currency in minor units, of the entries whose '
    'transaction had begun by p_at and has committed; infinity: of all.';
revoke execute on function payout_api.balances_as_of(timestamptz) from public;
grant execute on function payout_api.balances_as_of(timestamptz)
    to payout_operator, payout_auditor;
