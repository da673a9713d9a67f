-- forget_pending_wakeup: from now on no bell is waiting; whoever settles next rings again.
--
-- Called by: claim_transfers, before it looks for what is due. A settlement that
-- let the waiting bell serve and commits after that look is found by the pump's
-- second look or by the sweep.

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
    if pg_sequence_last_value('payout.seen_wakeup'::regclass) is not null then
        perform setval('payout.seen_wakeup', 1, false);
    end if;
end
$$;
comment on function payout.forget_pending_wakeup() is
    'Forgets which bell waits (payout.waiting_wakeup, payout.seen_wakeup); not undone by a '
    'rollback.';
