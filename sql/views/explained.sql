-- explained: each transfer with its situation, whose turn it is, and the call that moves it.
--
-- The one place that says so: payout_api.unpaid and payout_api.explain() read it.

create or replace view payout_api.explained as
with first_holds as not materialized (
    select distinct on (h.scope, h.subject) h.scope, h.subject, h.hold_id, h.reason
    from payout.holds as h
    where h.released_at is null
        and h.awaits is null
    order by h.scope, h.subject, h.hold_id
), waits as not materialized (
    select h.scope, h.subject, h.awaits, h.hold_id, h.reason, h.goes_on_at, h.probe_transfer_id
    from payout.holds as h
    where h.released_at is null
        and h.awaits is not null
)
select
    t.payout_transfer_id,
    t.settlement_id,
    t.payee_id,
    coalesce(q.destination, n.stripe_account_id) as destination,
    t.amount_minor * c.minor_unit as amount,
    t.amount_minor,
    t.currency,
    s.state,
    coalesce(s.reason, w.reason, st.meaning) as reason,
    o.sentence as stripe_said,
    s.changed_at as since,
    x.situation,
    x.whose_turn,
    u.until as next_attempt_at,
    concat_ws(' ', r.advice, replace(replace(x.for_operator,
        '{until}', coalesce(date_trunc('second', u.until)::text, 'the next sweep')),
        '{why}', coalesce(case when x.situation = 'on_hold' then h.reason else o.alarm end, ''))
    ) as advice,
    replace(replace(x.next_call, '{transfer}', t.payout_transfer_id::text),
        '{hold}', coalesce(h.hold_id, w.hold_id, 0)::text) as next_call,
    x.for_seller,
    t.payout_ref,
    s.generation,
    s.attempt
from payout.transfer_states as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
join payout.states as st on st.state = s.state
left join payout.currencies as c on c.currency = t.currency
left join payout.transfer_requests as q
    on q.payout_transfer_id = s.payout_transfer_id and q.generation = s.generation
left join lateral (
    select a.stripe_account_id
    from payout.payee_accounts as a
    where a.payee_id = t.payee_id
    order by a.payee_account_id desc
    limit 1
) as n on true
left join lateral (
    select
        (array_agg(m.error_rule_id order by m.observation_id desc) filter (
            where m.moved_to is not null and m.error_rule_id is not null))[1] as error_rule_id,
        (array_agg(m.facts ->> 'error_message' order by m.observation_id desc) filter (
            where m.signal = 'response' and m.facts ? 'error_message'))[1] as sentence,
        (array_agg(m.reason order by m.observation_id desc) filter (
            where m.verdict = 'alarm' and s.state in ('parked', 'failed')))[1] as alarm
    from payout.transfer_observations as m
    where m.payout_transfer_id = s.payout_transfer_id
        and s.state in ('retry_wait', 'unknown', 'parked', 'failed')
) as o on true
left join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
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
-- The one that lasts longest, of those that stop this transfer (wait_of).
left join lateral (
    select k.hold_id, k.reason, k.goes_on_at, 'waits_for_' || k.awaits
        || case when k.goes_on_at is null then '_without_end' else '' end as situation
    from (values
        (wc.hold_id, wc.awaits, wc.reason, wc.goes_on_at),
        (wf.hold_id, wf.awaits, wf.reason, wf.goes_on_at),
        (wa.hold_id, wa.awaits, wa.reason, wa.goes_on_at),
        (wn.hold_id, wn.awaits, wn.reason, wn.goes_on_at),
        (wt.hold_id, wt.awaits, wt.reason, wt.goes_on_at)
    ) as k (hold_id, awaits, reason, goes_on_at)
    where k.hold_id is not null
        and h.hold_id is null
        and (s.state = 'scheduled' and s.window_begins_at is null or s.state = 'failed')
        and s.next_attempt_at is not null
        and (k.awaits <> 'funds' or t.source_transaction is null or k.hold_id = s.hold_id)
        and (k.awaits in ('cap', 'account_change') or s.hold_id is not null
            or t.payout_transfer_id not in (
                select p.probe_transfer_id from waits as p where p.probe_transfer_id is not null))
    order by k.goes_on_at desc nulls first, k.hold_id
    limit 1
) as w on true
cross join lateral (
    select case
        when w.hold_id is not null then w.goes_on_at
        when s.state in ('parked', 'failed', 'scheduled')
            then coalesce(s.next_lookup_at, s.next_attempt_at)
        else s.next_attempt_at
    end as until
) as u
join payout.situations as x on x.situation = case
    when s.state in ('cancelled', 'settled_outside') then s.state::text
    when s.state = 'paid' then case
        when exists (
            select from payout_api.reversed_money as m
            where m.payout_transfer_id = s.payout_transfer_id
        ) then 'reversed'
        else 'paid'
    end
    when s.state = 'in_flight' then 'being_sent'
    when s.state = 'parked' then case
        when s.reason = 'absence_awaits_approval' then 'awaits_approval'
        when s.reason = 'stripe_may_execute_later' then 'may_be_executed_later'
        when o.alarm is not null then 'shown_otherwise'
        else 'looked_up'
    end
    when s.state = 'failed' then case
        when exists (
            select from payout_api.seen_at_stripe as o
            where o.payout_transfer_id = s.payout_transfer_id
        ) then 'shown_under_a_closed_key'
        when w.hold_id is null
            and s.generation >= (select e.max_generations from payout.engine_settings as e)
            and s.generation - (
                select count(*)
                from payout.transfer_observations as o
                join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
                where o.payout_transfer_id = s.payout_transfer_id
                    and o.moved_to = 'failed'
                    and r.awaits = 'funds'
            ) >= (select e.max_generations from payout.engine_settings as e)
            then 'keys_used_up'
        when h.hold_id is not null and s.next_attempt_at is not null then 'on_hold'
        when w.hold_id is not null then w.situation
        when s.next_attempt_at is not null then 'tried_again_later'
        else 'declined'
    end
    when s.state = 'scheduled' and s.next_attempt_at is null then 'waiting_for_account'
    when h.hold_id is not null then 'on_hold'
    when w.hold_id is not null then w.situation
    when s.state = 'retry_wait' then 'sent_again_later'
    when s.state = 'unknown' then 'asked_again_later'
    when s.next_lookup_at is not null then 'looked_for_first'
    when s.next_attempt_at > now() then 'scheduled_for_later'
    else 'due'
end;
comment on view payout_api.explained is
    'One row for each transfer: destination (before the first send the payee''s present account), '
    'amount in the currency itself, '
    'state, reason, Stripe''s own sentence if it refused, since when, '
    'whose turn it is, when the engine acts next by itself, the next step in words, the call that '
    'moves it, and the words for the payee.';
grant select on payout_api.explained to payout_approver;
