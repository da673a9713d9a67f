-- reversed_money: amounts that Stripe took back from paid transfers and that are owed again.
--
-- open_reversals says of which transfers, and the books how much: it costs the same however many
-- were reversed and are closed.

create or replace view payout_api.reversed_money as
select
    t.payout_transfer_id,
    t.settlement_id,
    t.payee_id,
    t.currency,
    t.amount_minor,
    r.reversed_minor,
    r.closed_minor,
    r.reversed_minor - r.closed_minor as open_minor,
    r.since,
    s.stripe_transfer_id,
    format(
        'Owed to the payee again, and not sent by itself. If it is their loss: select * from '
        'payout_api.write_off(%L, %L, %s, ''…''); if they are to have it: select * from '
        'payout_api.repay(%s, ''…'').',
        t.payee_id, t.currency, r.reversed_minor - r.closed_minor, t.payout_transfer_id
    ) as what_to_do
from (select distinct o.payout_transfer_id from payout.open_reversals as o) as x
join payout.transfer_states as s on s.payout_transfer_id = x.payout_transfer_id
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
cross join lateral (
    select
        coalesce(sum(e.amount_minor) filter (where e.kind = 'reversal'), 0)::bigint
            as reversed_minor,
        coalesce(sum(e.amount_minor) filter (where e.kind = 'write_off'), 0)::bigint
            as closed_minor,
        min(e.created_at) as since
    from payout.ledger_entries as e
    where e.payout_transfer_id = s.payout_transfer_id
        and e.kind in ('reversal', 'write_off')
) as r
where r.reversed_minor > r.closed_minor;
comment on view payout_api.reversed_money is
    'One row for each paid transfer of which Stripe took more back than has been written off or '
    'repaid: open_minor is owed to the payee again, with the calls that end it.';
