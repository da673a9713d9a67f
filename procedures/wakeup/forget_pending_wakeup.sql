-- forget_pending_wakeup: forget the waiting wake-up job; the next settlement queues another.
--
-- Called by: claim_transfers, before it looks for due transfers. A settlement that relied on the
-- waiting job and commits after that look is found by the pump's second look or by the sweep.
-- That the queue has failed is forgotten by the sweep only.

create or replace function payout.forget_pending_wakeup()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_sequence_last_value('payout.waiting_wakeup'::regclass) is not null then
        perform setval('payout.waiting_wakeup', 1, false);
    end if;
    if pg_sequence_last_value('payout.seen_wakeup'::regclass) > 0 then
        perform setval('payout.seen_wakeup', 1, false);
    end if;
end
$$;
comment on function payout.forget_pending_wakeup() is
    'Resets payout.waiting_wakeup, and payout.seen_wakeup unless it is 0; not undone by a '
    'rollback.';
