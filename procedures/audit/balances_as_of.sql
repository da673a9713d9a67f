-- balances_as_of: the balance of each account at a time, or that of one payee.
--
-- An entry counts from the moment its transaction began (created_at), with all others of that
-- transaction, but shows only once it has committed: the balances of a moment may still change
-- while a transaction that began before it runs.
-- There is a row for each payee: ask for one, or for all of them together (ledger_balances).

create or replace function payout_api.balances_as_of(
    p_at timestamptz, p_payee_id text default null
)
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
    with ranges as materialized (
        select r.seal_id, r.first_id, r.last_id from payout.ledger_ranges_at(p_at) as r
    )
    select b.account, b.currency, sum(b.debit_minor), sum(b.credit_minor),
        sum(b.credit_minor) - sum(b.debit_minor)
    from (
        select t.*
        from ranges as r
        cross join lateral payout.subtotals_at(r.seal_id, 'payable:' || p_payee_id) as t
        where r.seal_id is not null and t.account <> 'payable'
        union all
        select m.*
        from ranges as r
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
            and m.account = coalesce('payable:' || p_payee_id, m.account)
    ) as b
    group by b.account, b.currency
$$;
comment on function payout_api.balances_as_of(timestamptz, text) is
    'Credit minus debit of every account and currency, or of one payee''s, in minor units, of the '
    'entries whose transaction had begun by p_at and has committed; infinity: of all.';
grant execute on function payout_api.balances_as_of(timestamptz, text)
    to payout_operator, payout_auditor;
