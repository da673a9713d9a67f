-- workers: the worker processes of the last week, the newest heartbeat first.

create or replace view payout_api.workers as
select
    w.worker,
    w.release,
    w.started_at,
    w.last_seen_at,
    not w.has_ended and w.last_seen_at > clock_timestamp() - interval '1 minute' as is_alive,
    exists (
        select from payout.holds as h
        where h.scope = 'worker' and h.subject = w.worker and h.released_at is null
    ) as is_on_hold
from payout.workers as w
order by w.last_seen_at desc;
comment on view payout_api.workers is
    'One row for each worker process of the last week: is_alive while its last heartbeat is less '
    'than a minute old and did not say that it ends, is_on_hold once Stripe refused its key.';
