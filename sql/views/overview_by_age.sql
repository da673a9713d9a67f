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
    s.state,
    t.currency,
    g.since_at_least,
    count(*),
    sum(t.amount_minor) * c.minor_unit,
    sum(t.amount_minor),
    min(s.changed_at)
from payout_api.open_transfers as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
left join payout.currencies as c on c.currency = t.currency
cross join lateral (
    select case
        when s.changed_at > now() - interval '1 hour' then interval '0'
        when s.changed_at > now() - interval '1 day' then interval '1 hour'
        when s.changed_at > now() - interval '7 days' then interval '1 day'
        else interval '7 days'
    end as since_at_least
) as g
group by s.state, t.currency, g.since_at_least, c.minor_unit;
comment on view payout_api.overview_by_age is
    'Transfers by state, currency and age: since_at_least is 0, an hour, a day or seven days, the '
    'time for which each has been in its state, up to the next of these; null for final states.';
grant select on payout_api.overview_by_age to payout_operator, payout_auditor;
