-- unpaid: every transfer that is not paid, with the reason and the next step.

create or replace view payout_api.unpaid as
with first_holds as not materialized (
    select distinct on (h.scope, h.subject) h.scope, h.subject, h.hold_id, h.reason
    from payout.holds as h
    where h.released_at is null
        and h.awaits is null
    order by h.scope, h.subject, h.hold_id
), waits as not materialized (
    select h.scope, h.subject, h.awaits, h.hold_id, h.reason, h.goes_on_at,
        h.probe_transfer_id
    from payout.holds as h
    where h.released_at is null
        and h.awaits is not null
)
select
    t.payout_transfer_id,
    t.settlement_id,
    t.payee_id,
    q.destination,
    t.amount_minor,
    t.currency,
    s.state,
    coalesce(s.reason, w.reason, st.meaning) as reason,
    s.changed_at as since,
    case
        when h.hold_id is not null or (w.hold_id is not null and w.goes_on_at is null)
            then 'operator'
        when w.hold_id is not null then 'engine'
        when s.state = 'failed' and s.next_attempt_at is not null then 'engine'
        -- Parked transfers are looked up at Stripe; these cannot end without an operator.
        when a.reason is not null then 'operator'
        when s.reason in ('stripe_may_execute_later', 'absence_awaits_approval') then 'operator'
        when s.next_lookup_at is not null then 'engine'
        else st.whose_turn
    end as whose_turn,
    case when w.hold_id is null then coalesce(s.next_attempt_at, s.next_lookup_at)
        else w.goes_on_at end as next_attempt_at,
    case
        when h.hold_id is not null
            then format('On hold (%s): payout_api.release_hold(%s, reason).', h.reason, h.hold_id)
        when a.reason is not null
            then format('Stripe showed something else than was asked for (%s). Look the payout_ref '
                'up there; settle the amount that is still owed under another id.', a.reason)
        when w.hold_id is not null then format(case
            when w.awaits = 'funds' then 'Add funds in %2$s to the platform''s Stripe balance; one '
                'transfer is tried from time to time.'
            when w.awaits = 'account' and w.goes_on_at is null then 'Tried for three months. '
                'Register another account, or payout_api.release_hold(%1$s, reason).'
            when w.awaits = 'account' then 'The payee''s account takes no transfers yet; tried '
                'again by itself, or register another.'
            when w.awaits = 'account_change' then 'The payee''s account was changed; sooner: '
                'payout_api.release_hold(%1$s, reason).'
            when w.goes_on_at is null then 'Larger than a cap: raise it with payout_api.set_cap, '
                'or payout_api.release_hold(%1$s, reason).'
            else 'Over a cap until then; payout_api.set_cap raises it.'
        end, w.hold_id, t.currency)
        else coalesce(r.advice, st.meaning)
    end as advice,
    t.payout_ref,
    s.generation,
    s.attempt
from payout.transfer_states as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
join payout.states as st on st.state = s.state
left join lateral (
    select o.error_rule_id
    from payout.transfer_observations as o
    where o.payout_transfer_id = s.payout_transfer_id
        and o.moved_to is not null
    order by o.observation_id desc
    limit 1
) as o on true
left join payout.transfer_requests as q
    on q.payout_transfer_id = s.payout_transfer_id and q.generation = s.generation
left join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
left join lateral (
    select o.reason
    from payout.transfer_observations as o
    where o.payout_transfer_id = s.payout_transfer_id
        and s.state = 'parked'
        and o.verdict = 'alarm'
        and o.reason <> 'report_of_another_claim'
    order by o.observation_id desc
    limit 1
) as a on true
-- Joins by equality, which Postgres can hash, however many holds there are. An alarm and a person
-- may hold one subject each: the first hold is shown.
left join first_holds as he on he.scope = 'engine'
left join first_holds as hc on hc.scope = 'currency' and hc.subject = t.currency
left join first_holds as hp on hp.scope = 'payee' and hp.subject = t.payee_id
left join first_holds as hs on hs.scope = 'settlement' and hs.subject = t.settlement_id
left join first_holds as ht on ht.scope = 'transfer' and ht.subject = t.payout_transfer_id::text
cross join lateral (
    select coalesce(he.hold_id, hc.hold_id, hp.hold_id, hs.hold_id, ht.hold_id) as hold_id,
        coalesce(he.reason, hc.reason, hp.reason, hs.reason, ht.reason) as reason
) as h
left join waits as wc
    on wc.scope = 'currency' and wc.subject = t.currency and wc.awaits = 'cap'
left join waits as wf
    on wf.scope = 'currency' and wf.subject = t.currency and wf.awaits = 'funds'
left join waits as wa
    on wa.scope = 'payee' and wa.subject = t.payee_id and wa.awaits = 'account'
left join waits as wn
    on wn.scope = 'payee' and wn.subject = t.payee_id and wn.awaits = 'account_change'
left join waits as wt on wt.scope = 'transfer' and wt.subject = t.payout_transfer_id::text
-- The one that lasts longest, of those that stop this transfer (lock_due_transfers).
left join lateral (
    select k.*
    from (values
        (wc.hold_id, wc.awaits, wc.reason, wc.goes_on_at, wc.probe_transfer_id),
        (wf.hold_id, wf.awaits, wf.reason, wf.goes_on_at, wf.probe_transfer_id),
        (wa.hold_id, wa.awaits, wa.reason, wa.goes_on_at, wa.probe_transfer_id),
        (wn.hold_id, wn.awaits, wn.reason, wn.goes_on_at, wn.probe_transfer_id),
        (wt.hold_id, wt.awaits, wt.reason, wt.goes_on_at, wt.probe_transfer_id)
    ) as k (hold_id, awaits, reason, goes_on_at, probe_transfer_id)
    where k.hold_id is not null
        and (s.state = 'scheduled' and s.first_sent_at is null
            or s.state = 'failed' and s.next_attempt_at is not null)
        and (k.awaits <> 'funds' or t.source_transaction is null)
        and (k.probe_transfer_id is distinct from t.payout_transfer_id or s.hold_id = k.hold_id)
    order by k.goes_on_at desc nulls first
    limit 1
) as w on true
where s.state <> 'paid';
comment on view payout_api.unpaid is
    'One row for each transfer that is not paid: state, reason, since when, whose turn it is, when '
    'the engine acts next by itself, and the next step for an operator.';
grant select on payout_api.unpaid to payout_operator, payout_auditor;
