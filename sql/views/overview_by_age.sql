-- overview_by_age: the transfers and the money in each state, by the time they have been in it.
--
-- Final states have no age: they are read apart. Named here, so that the open ones are not read
-- twice.

create or replace view payout_api.overview_by_age as
select
    o.state,
    o.currency,
    null::interval as since_at_least,
    o.transfers,
    o.amount,
    o.amount_minor,
    o.oldest_since
from payout_api.overview as o
where o.state in ('paid', 'cancelled', 'settled_outside')
union all
select
    a.state,
    a.currency,
    a.since_at_least,
    a.transfers,
    a.amount_minor * c.minor_unit,
    a.amount_minor,
    a.oldest_since
from (
    select s.state, t.currency, g.since_at_least, count(*) as transfers,
        sum(t.amount_minor) as amount_minor, min(s.changed_at) as oldest_since
    from payout_api.open_transfers as s
    cross join lateral (
        -- Each by its number, and never all of them: hence the offset.
        select p.currency, p.amount_minor
        from payout.payout_transfers as p
        where p.payout_transfer_id = s.payout_transfer_id
        offset 0
    ) as t
    cross join lateral (
        select case
            when s.changed_at > now() - interval '1 hour' then interval '0'
            when s.changed_at > now() - interval '1 day' then interval '1 hour'
            when s.changed_at > now() - interval '7 days' then interval '1 day'
            else interval '7 days'
        end as since_at_least
    ) as g
    group by s.state, t.currency, g.since_at_least
) as a
left join payout.currencies as c on c.currency = a.currency;
comment on view payout_api.overview_by_age is
    'Transfers by state, currency and age: since_at_least is 0, an hour, a day or seven days, the '
    'time for which each has been in its state, up to the next of these; null for final states.';
grant select on payout_api.overview_by_age to payout_operator, payout_auditor;
