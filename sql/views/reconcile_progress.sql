-- reconcile_progress: the progress of each comparison with Stripe, the newest first.

create or replace view payout_api.reconcile_progress as
select
    r.reconcile_run_id,
    case
        when r.finished_at is not null then 'finished'
        when r.abandoned_at is not null then 'given up'
        else 'going on'
    end as progress,
    r.worker,
    r.started_at,
    coalesce(r.finished_at, r.abandoned_at) as ended_at,
    r.created_from,
    r.created_until,
    p.pages,
    p.last_page_at,
    r.transfers_seen,
    r.transfers_expected,
    r.discrepancies_found
from payout.reconcile_runs as r
left join lateral (
    select count(*) as pages, max(p.received_at) as last_page_at
    from payout.reconcile_pages as p
    where p.reconcile_run_id = r.reconcile_run_id
) as p on true
order by r.reconcile_run_id desc;
comment on view payout_api.reconcile_progress is
    'One row for each run: its window, the pages and transfers seen so far, the number that these '
    'books expected, and the number of its discrepancies.';
grant select on payout_api.reconcile_progress to payout_operator, payout_auditor;
