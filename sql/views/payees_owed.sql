-- payees_owed: the payees who are owed money that is not being sent, those who are owed most first.
--
-- They are those of declined transfers and of reversed money: nothing else stays on their accounts
-- (verify_projection compares), and to read the balance of each would take as long as there are
-- payees.

create or replace view payout_api.payees_owed as
select
    o.currency,
    o.payee_id,
    sum(o.amount_minor) * c.minor_unit as balance,
    row_number() over (
        partition by o.currency order by sum(o.amount_minor) desc, o.payee_id) as rank
from (
    select t.payee_id, t.currency, t.amount_minor
    from payout_api.open_transfers as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.state = 'failed'
    union all
    select m.payee_id, m.currency, m.open_minor
    from payout_api.reversed_money as m
) as o
left join payout.currencies as c on c.currency = o.currency
group by o.currency, o.payee_id, c.minor_unit
order by rank, o.currency;
comment on view payout_api.payees_owed is
    'One row for each payee and currency in which declined transfers or reversed money are owed: '
    'balance in the currency itself, rank among the payees of that currency.';
