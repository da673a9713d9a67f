-- note_failed_queue: let no settlement and no claim touch the queue before the next sweep does.
--
-- A session that holds the queue up costs one caller a tenth of a second, not each of them.

create or replace function payout.note_failed_queue(p_problem text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform setval('payout.seen_wakeup', 0);
    raise log 'payout: the queue of wake-up jobs failed: %', p_problem
        using hint = 'Transfers are claimed without them. See payout_api.doctor().';
end
$$;
comment on function payout.note_failed_queue(text) is
    'Sets payout.seen_wakeup to 0, also if the transaction rolls back, and writes to the server''s '
    'log.';
