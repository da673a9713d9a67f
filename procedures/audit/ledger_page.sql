-- ledger_page: the next entries of the ledger in an interval of time, in the order of their ids.
--
-- Sealed ranges that are over before the interval are not read. Pages are of one moment only in one
-- transaction that is repeatable read. A null for a cursor or a limit is its default.

create or replace function payout_api.ledger_page(
    p_from timestamptz,
    p_to timestamptz,
    p_after bigint default -9223372036854775808,
    p_limit integer default 1000
)
returns table (
    entry_id bigint,
    booked_at timestamptz,
    kind text,
    debit_account text,
    credit_account text,
    amount numeric,
    amount_minor bigint,
    currency text,
    settlement_id text,
    payee_id text,
    transfer_id bigint,
    stripe_transfer_id text,
    stripe_reversal_id text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    select e.ledger_entry_id, e.created_at, e.kind, e.debit_account, e.credit_account,
        e.amount_minor * c.minor_unit, e.amount_minor, e.currency, t.settlement_id, t.payee_id,
        e.payout_transfer_id, s.stripe_transfer_id, e.stripe_reversal_id
    from (
        select l.*
        from payout.ledger_entries as l
        where l.ledger_entry_id > coalesce(p_after, -9223372036854775808)
            and l.ledger_entry_id >= payout.first_entry_id(p_from)
            and l.created_at >= p_from and l.created_at < p_to
        order by l.ledger_entry_id
        limit greatest(coalesce(p_limit, 1000), 0)
    ) as e
    join payout.payout_transfers as t on t.payout_transfer_id = e.payout_transfer_id
    join payout.transfer_states as s on s.payout_transfer_id = e.payout_transfer_id
    left join payout.currencies as c on c.currency = e.currency
    order by e.ledger_entry_id
$$;
comment on function payout_api.ledger_page(timestamptz, timestamptz, bigint, integer) is
    'The first p_limit entries with an id above p_after that were booked from p_from on and before '
    'p_to: accounts, amount in the currency itself and in minor units, settlement, payee, '
    'transfer, and Stripe''s ids of it.';
grant execute on function payout_api.ledger_page(timestamptz, timestamptz, bigint, integer)
    to payout_operator, payout_auditor;
