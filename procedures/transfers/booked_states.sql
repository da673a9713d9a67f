-- booked_states: the account on which the books have the money of each transfer of a range.
--
-- Reversals, and what becomes of their amount, come after a transfer was paid and do not change
-- that it is.

create or replace function payout.booked_states(p_from bigint, p_to bigint)
returns table (payout_transfer_id bigint, place text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select b.payout_transfer_id,
        string_agg(format('%s %s %s', b.account, b.amount_minor, b.currency), ', '
            order by b.account, b.currency)
    from (
        select e.payout_transfer_id, m.account, e.currency, sum(m.amount_minor) as amount_minor
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, -e.amount_minor), (e.credit_account, e.amount_minor)
        ) as m (account, amount_minor)
        where e.payout_transfer_id between p_from and p_to
            and e.kind not in ('reversal', 'write_off') and m.account <> 'settlement_funds'
        group by e.payout_transfer_id, m.account, e.currency
        having sum(m.amount_minor) <> 0
    ) as b
    group by b.payout_transfer_id
$$;
comment on function payout.booked_states(bigint, bigint) is
    'For each transfer from p_from to p_to the account, amount in minor units and currency that '
    'its ledger entries leave it at, reversals aside.';
