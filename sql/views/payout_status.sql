-- payout_status: the status of each transfer, in the application's words.
--
-- Ask for one settlement or one payee; all rows together are the whole history. It reads holds
-- itself, as a claim does, for the states that a hold keeps back. It calls no function of ours,
-- which its reader would have to be allowed to call.

create or replace view payout_api.payout_status as
select
    t.settlement_id,
    t.payee_id,
    t.source_transaction,
    t.amount_minor,
    t.currency,
    case
        when s.state = 'scheduled' and s.next_attempt_at is null then 'waiting_for_account'
        when h.scope is null then st.status
        else st.status_on_hold
    end as status,
    case
        when s.state = 'scheduled' and s.next_attempt_at is null then s.reason
        when h.scope is not null then coalesce('waits_for_' || h.awaits, h.scope || '_on_hold')
        when st.status in ('failed', 'cancelled', 'settled_outside') then s.reason
    end as reason,
    s.stripe_transfer_id,
    m.pay_after,
    b.paid_at,
    coalesce(b.reversed_minor, 0) as reversed_minor,
    greatest(s.changed_at, h.placed_at, b.reversed_at) as changed_at
from payout.payout_transfers as t
join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
join payout.states as st on st.state = s.state
join payout.settlements as m on m.settlement_id = t.settlement_id
left join lateral (
    select
        min(e.created_at) filter (where e.kind = 'paid') as paid_at,
        (sum(e.amount_minor) filter (where e.kind = 'reversal'))::bigint as reversed_minor,
        max(e.created_at) filter (where e.kind = 'reversal') as reversed_at
    from payout.ledger_entries as e
    where e.payout_transfer_id = t.payout_transfer_id and e.kind in ('paid', 'reversal')
) as b on true
left join lateral (
    select h.scope, h.awaits, h.placed_at
    from payout.holds as h
    where h.released_at is null
        and st.status_on_hold <> st.status
        and (h.scope = 'engine'
            or (h.scope = 'currency' and h.subject = t.currency)
            or (h.scope = 'payee' and h.subject = t.payee_id)
            or (h.scope = 'settlement' and h.subject = t.settlement_id)
            or (h.scope = 'transfer' and h.subject = t.payout_transfer_id::text))
        and (h.awaits is null or (
            s.window_begins_at is null
            and (h.awaits <> 'funds' or t.source_transaction is null)
            and (h.awaits in ('cap', 'account_change') or s.hold_id is not null or not exists (
                select from payout.holds as p
                where p.probe_transfer_id = t.payout_transfer_id and p.released_at is null))))
    order by h.awaits is not null, h.hold_id
    limit 1
) as h on true;
comment on view payout_api.payout_status is
    'One row for each transfer of a complete settlement: status (scheduled, waiting_for_account, '
    'sending, paid, on_hold, failed, cancelled or settled_outside), the code of the reason where '
    'there is one, and the sum that Stripe took back, in minor units. Fast for one settlement or '
    'payee.';
grant select on payout_api.payout_status to payout_app;
