-- summary_balances: each general account, the payees who are owed most, and the check of the books.
--
-- The payees are those of declined transfers and of reversed money: nothing else stays on their
-- accounts (verify_projection compares), and to read the balance of each would take as long as
-- there are payees.

create or replace function payout.summary_balances(p_rows integer)
returns table (section text, most integer, place bigint, content jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with owed as (
        select t.payee_id, t.currency, t.amount_minor
        from payout_api.open_transfers as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.state = 'failed'
        union all
        select m.payee_id, m.currency, m.open_minor
        from payout_api.reversed_money as m
    ),
    payees as (
        select o.currency, o.payee_id, sum(o.amount_minor) * c.minor_unit as balance,
            row_number() over (
                partition by o.currency order by sum(o.amount_minor) desc, o.payee_id) as rank
        from owed as o
        left join payout.currencies as c on c.currency = o.currency
        group by o.currency, o.payee_id, c.minor_unit
    )
    select 'accounts', null::integer, row_number() over (order by b.currency, b.account),
        to_jsonb(b) || jsonb_build_object('meaning', l.meaning)
    from payout_api.ledger_balances as b
    left join payout.ledger_accounts as l on l.account = b.account
    union all
    select 'payees', p_rows, row_number() over (order by p.rank, p.currency), to_jsonb(p)
    from payees as p
    union all
    select 'books', null, row_number() over (order by b.currency), to_jsonb(b)
    from payout_api.trial_balance as b
$$;
comment on function payout.summary_balances(integer) is 'Part of payout_api.summary().';
