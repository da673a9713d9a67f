-- queue_wakeup: queue wake-up jobs for a payout job that is being scheduled.
--
-- A job that waits in the queue already is enough for few transfers: the worker that fetches it
-- claims all that is due. One that waits for pay_after would be walked past by each
-- fetch of the queue.

create or replace function payout.queue_wakeup(
    p_payout_job_id bigint, p_transfers integer, p_pay_after timestamptz
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_seen_id bigint := pg_sequence_last_value('payout.seen_wakeup'::regclass);
    v_times integer := 1;
begin
    -- 0: the queue failed, and is left alone until the next sweep.
    if p_pay_after > now() or v_seen_id = 0 then
        return '{}'::bigint[];
    end if;
    if p_transfers > 1 then
        v_times := (
            select (p_transfers + e.transfers_per_wakeup - 1) / e.transfers_per_wakeup
            from payout.engine_settings as e);
    end if;
    if v_times = 1 and v_seen_id is not null then
        return array[v_seen_id];
    end if;
    return payout.find_wakeup(p_payout_job_id, v_times);
end
$$;
comment on function payout.queue_wakeup(bigint, integer, timestamptz) is
    'Queues one wake-up job for each transfers_per_wakeup (of engine_settings) transfers, or '
    'relies on one that waits already; none before pay_after, none while the queue fails. Returns '
    'the ids.';
