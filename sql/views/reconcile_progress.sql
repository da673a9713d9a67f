-- reconcile_progress: the progress of each comparison with Stripe, the newest first.

create or replace view payout_api.reconcile_progress as
select
    r.read_id,
    case
        when r.finished_at is not null then 'finished'
        when r.abandoned_at is not null then 'given up'
        else 'going on'
    end as progress,
    r.worker,
    r.begun_at,
    coalesce(r.finished_at, r.abandoned_at) as ended_at,
    to_timestamp((r.queries #>> '{0,created,gte}')::double precision) as created_from,
    coalesce(p.pages, 0) as pages,
    p.last_page_at,
    r.objects_seen as transfers_seen,
    r.objects_expected as transfers_expected,
    r.objects_found as discrepancies_found,
    (select sum(n.value::bigint) from jsonb_each_text(r.not_ours) as n) as transfers_not_ours
from payout.stripe_reads as r
left join lateral (
    -- Pages are counted from one: the last says how many there are.
    select p.page_number::bigint as pages, p.received_at as last_page_at
    from payout.stripe_read_pages as p
    where p.read_id = r.read_id
    order by p.page_number desc
    limit 1
) as p on true
where r.kind = 'comparison'
order by r.read_id desc;
comment on view payout_api.reconcile_progress is
    'One row for each comparison: the time from which Stripe made the transfers (null: all), the '
    'pages and transfers seen so far, the number that these books expected, the number of its '
    'discrepancies, and that of the transfers that are not ours by a rule.';
