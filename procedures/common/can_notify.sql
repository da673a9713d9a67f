-- can_notify: test whether a notification can be sent.
--
-- Postgres keeps notifications until every listener has read them. Once their queue is full, a
-- commit with a notification fails: then a listener is stuck, and a hint is not worth a payment.

create or replace function payout.can_notify()
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return pg_notification_queue_usage() < 0.9;
end
$$;
comment on function payout.can_notify() is 'True until the queue of NOTIFY is nearly full.';
