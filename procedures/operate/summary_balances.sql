-- summary_balances: each account, the payees who are owed most, and the check of the books.
--
-- Balances are read once, since that takes a second for 50,000 payees: hence trial_balance is made
-- again here; a test compares the two.

create or replace function payout.summary_balances(p_rows integer)
returns table (section text, most integer, place bigint, content jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with balances as materialized (select b.* from payout_api.ledger_balances as b),
    accounts as (
        select split_part(b.account, ':', 1) as account, b.currency, count(*) as accounts,
            sum(b.debit) as debit, sum(b.credit) as credit, sum(b.balance) as balance,
            sum(b.balance_minor) as balance_minor
        from balances as b
        group by split_part(b.account, ':', 1), b.currency
    ),
    payees as (
        select b.currency, substr(b.account, length('payable:') + 1) as payee_id, b.balance,
            row_number() over (
                partition by b.currency order by b.balance_minor desc, b.account) as rank
        from balances as b
        where b.account like 'payable:%' and b.balance_minor <> 0
    ),
    books as (
        select coalesce(a.currency, o.currency) as currency,
            coalesce(a.difference_minor, 0) as difference_minor,
            coalesce(a.in_flight_minor, 0) as in_flight_minor,
            coalesce(o.open_transfers_minor, 0) as open_transfers_minor
        from (
            select a.currency, sum(a.balance_minor) as difference_minor,
                sum(a.balance_minor) filter (where a.account = 'in_flight') as in_flight_minor
            from accounts as a
            group by a.currency
        ) as a
        full join (
            select t.currency, sum(t.amount_minor) as open_transfers_minor
            from payout.transfer_states as s
            join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
            where s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked')
            group by t.currency
        ) as o on o.currency = a.currency
    )
    select 'accounts', null::integer, row_number() over (order by a.currency, a.account),
        to_jsonb(a) || jsonb_build_object('meaning', l.meaning)
    from accounts as a
    left join payout.ledger_accounts as l on l.account = a.account
    union all
    select 'payees', p_rows, row_number() over (order by p.rank, p.currency), to_jsonb(p)
    from payees as p
    union all
    select 'books', null, row_number() over (order by b.currency), to_jsonb(b)
    from books as b
$$;
comment on function payout.summary_balances(integer) is 'Part of payout_api.summary().';
