-- wake_up_for: queue wake-up jobs for transfers that have become due.
--
-- Without one, as while the queue fails, the sweep queues it.
-- Called by: register_payee, which holds the locks on the progress rows.

create or replace function payout.wake_up_for(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wakeup_ids bigint[];
begin
    if cardinality(p_payout_transfer_ids) > 0 then
        v_wakeup_ids := payout.queue_wakeup(
            (select t.payout_job_id from payout.payout_transfers as t
                where t.payout_transfer_id = p_payout_transfer_ids[1]),
            cardinality(p_payout_transfer_ids), null);
        update payout.transfer_states as s
        set wakeup_id = v_wakeup_ids[1 + d.place % nullif(cardinality(v_wakeup_ids), 0)]
        from unnest(p_payout_transfer_ids) with ordinality as d (payout_transfer_id, place)
        where s.payout_transfer_id = d.payout_transfer_id;
    end if;
end
$$;
comment on function payout.wake_up_for(bigint[]) is
    'Queues a wake-up job for each transfers_per_wakeup of these transfers, and notes it with '
    'each.';
