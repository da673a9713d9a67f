-- find_wakeup: the wake-up job that waits in the queue, or else new ones.
--
-- Called by: queue_wakeup, in the transaction of a settlement. The queue may be locked, gone, of
-- another version or closed to us: the settlement waits for it a tenth of a second, then goes on
-- without, and the sweep makes up for it.

create or replace function payout.find_wakeup(p_payout_job_id bigint, p_times integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_wakeup_ids bigint[];
begin
    if not payout.has_queue() then
        perform payout.note_failed_queue('it is that of another application');
        return '{}'::bigint[];
    end if;
    if p_times = 1 then
        v_wakeup_ids := array[payout.pending_wakeup()];
        if v_wakeup_ids[1] is not null then
            return v_wakeup_ids;
        end if;
    end if;

    v_wakeup_ids := payout.defer_job(p_payout_job_id, p_times);
    if cardinality(v_wakeup_ids) > 0 then
        perform setval('payout.waiting_wakeup', v_wakeup_ids[1]);
    end if;
    return v_wakeup_ids;
exception when others then
    perform payout.note_failed_queue(sqlerrm);
    return '{}'::bigint[];
end
$$;
comment on function payout.find_wakeup(bigint, integer) is
    'One wake-up job that waits, if that is enough, or p_times new ones; their ids, none if the '
    'queue fails.';
