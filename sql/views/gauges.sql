-- gauges: the numbers of the whole engine as it is now, for monitors.
--
-- It reads what is open or newest only, from indexes, and 50,000 rows of each group at most.
-- payout_api.measure() adds those that functions tell. Of many reasons or kinds thirty are named,
-- the others are `other`: labels stay few.

create or replace view payout_api.gauges as
with open_states as materialized (
    -- The groups have no row in common and leave none out (payout.progress_problem).
    (select s.* from payout.transfer_states as s
        where s.next_attempt_at is not null and s.hold_id is null
            and s.state in ('scheduled', 'retry_wait', 'unknown')
        order by s.next_attempt_at limit 50000)
    union all
    (select s.* from payout.transfer_states as s
        where s.hold_id is not null and s.state in ('scheduled', 'retry_wait', 'unknown')
        limit 50000)
    union all
    (select s.* from payout.transfer_states as s where s.lease_until is not null limit 50000)
    union all
    (select s.* from payout.transfer_states as s
        where s.state in ('parked', 'failed') order by s.changed_at limit 50000)
    union all
    (select s.* from payout.account_waits as w
        join payout.transfer_states as s on s.payout_transfer_id = w.payout_transfer_id
        where w.next_look_at is not null and s.state = 'scheduled' and s.next_attempt_at is null
        limit 50000)
), grouped as materialized (
    select s.state, s.reason, t.currency, count(*) as transfers,
        sum(t.amount_minor) as amount_minor, min(s.changed_at) as since
    from open_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    group by s.state, s.reason, t.currency
), coded as (
    select x.metric, x.meaning, x.label, x.state,
        -- A sentence, an id or a name that a person gave is no label.
        case
            when x.code is null then 'none'
            when x.code ~ '^[a-z][a-z0-9_]{0,59}$' then x.code
            else 'other'
        end as code,
        x.number
    from (
        select 'payout_open_reasons' as metric,
            'Transfers that are open, by the reason for their state.' as meaning,
            'reason' as label, g.state::text as state, g.reason::text as code,
            g.transfers as number
        from grouped as g
        union all
        select 'payout_open_discrepancies' as metric, 'Open discrepancies, by kind.' as meaning,
            'kind' as label, null as state, d.kind as code, 1 as number
        from (
            select o.kind from payout.discrepancies as o
            where o.resolved_at is null
            order by o.found_at
            limit 50000
        ) as d
    ) as x
), placed as (
    select c.metric, c.meaning, c.label, c.state, c.code, sum(c.number) as number,
        row_number() over (
            partition by c.metric order by sum(c.number) desc, c.state, c.code) as place
    from coded as c
    group by c.metric, c.meaning, c.label, c.state, c.code
), due as (
    select count(*) as transfers, now() - min(s.next_attempt_at) as waited_for
    from open_states as s
    where s.next_attempt_at <= now() and s.hold_id is null and s.next_lookup_at is null
)
select v.metric, v.meaning, v.labels, v.value::double precision as value
from (
    values
        ('payout_due_transfers', 'Transfers that are due and on no hold.',
            '{}'::jsonb, (select d.transfers from due as d)::numeric),
        ('payout_due_oldest_seconds', 'Time for which the oldest of them has been due.',
            '{}', (select coalesce(extract(epoch from d.waited_for), 0) from due as d)),
        ('payout_failed_for_operators', 'Failed transfers for which nothing is tried by itself.',
            '{}', (
                select count(*) from open_states as s
                where s.state = 'failed' and s.next_attempt_at is null
            )),
        ('payout_expired_leases', 'Leases that ran out over a minute ago.',
            '{}', (
                select count(*) from open_states as s
                where s.lease_until < now() - interval '1 minute'
            )),
        ('payout_proposals', 'Acts that wait for another person.',
            '{}', (select count(*) from payout_api.proposals as p)),
        ('payout_notification_queue_usage', 'Part of the queue of NOTIFY that is full.',
            '{}', pg_notification_queue_usage()::numeric)
) as v (metric, meaning, labels, value)
-- Each column of a union is named: so a restored view has the same text.
union all
select 'payout_open_transfers' as metric, 'Transfers that are open.' as meaning,
    jsonb_build_object('state', g.state, 'currency', g.currency) as labels,
    sum(g.transfers)::double precision as value
from grouped as g
group by g.state, g.currency
union all
select 'payout_open_amount' as metric,
    'Money of open transfers, in the currency itself.' as meaning,
    jsonb_build_object('state', g.state, 'currency', g.currency) as labels,
    sum(g.amount_minor * c.minor_unit)::double precision as value
from grouped as g
left join payout.currencies as c on c.currency = g.currency
group by g.state, g.currency
union all
select 'payout_open_oldest_seconds' as metric,
    'Time since the oldest transfer came into the state.' as meaning,
    jsonb_build_object('state', g.state) as labels,
    extract(epoch from now() - min(g.since))::double precision as value
from grouped as g
group by g.state
union all
select p.metric, p.meaning, jsonb_strip_nulls(jsonb_build_object('state', p.state,
    p.label, case when p.place <= 30 then p.code else 'other' end)) as labels,
    sum(p.number)::double precision as value
from placed as p
group by p.metric, p.meaning, p.label, p.state,
    case when p.place <= 30 then p.code else 'other' end
union all
select 'payout_holds' as metric, 'Open holds that are no waits, by scope.' as meaning,
    jsonb_build_object('scope', s.scope) as labels,
    (
        select count(*) from (
            select from payout.holds as h
            where h.released_at is null and h.awaits is null and h.scope = s.scope
            limit 50000
        ) as h
    )::double precision as value
from unnest('{engine,worker,currency,payee,settlement,transfer}'::text[]) as s (scope)
union all
select 'payout_waits' as metric,
    'Currencies, payees and transfers that wait, by the cause.' as meaning,
    jsonb_build_object('for', s.awaits) as labels,
    (
        select count(*) from (
            select from payout.holds as h
            where h.released_at is null and h.awaits = s.awaits
            limit 50000
        ) as h
    )::double precision as value
from unnest('{funds,account,cap,account_change}'::text[]) as s (awaits)
union all
select 'payout_workers' as metric, 'Workers that are alive, by release.' as meaning,
    jsonb_build_object('release', left(w.release, 60)) as labels,
    count(*)::double precision as value
from payout_api.workers as w
where w.is_alive
group by left(w.release, 60);
comment on view payout_api.gauges is
    'Names, meanings, labels and values of gauges: open transfers and their money, by state, '
    'currency and reason, those that are due, holds and waits, open discrepancies, proposals, '
    'leases, workers.';
