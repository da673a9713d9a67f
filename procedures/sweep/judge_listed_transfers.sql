-- judge_listed_transfers: judge due transfers that Stripe has listed already.
--
-- A restored database has forgotten that it sent them; a read of Stripe's list showed them before
-- they were settled here again. A claim does not send them. The array and the condition on the
-- hold lead the planner to indexes of the few, away from the history.
-- Locks: the transfers' progress rows, and their own, to which observations refer; skipping those
-- that are locked.

create or replace function payout.judge_listed_transfers(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[];
begin
    if not exists (select from payout.listed_transfers) then
        return;
    end if;
    v_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.next_attempt_at <= p_now
            and s.hold_id is null
            and s.state in ('scheduled', 'retry_wait', 'unknown')
            and t.payout_ref = any (array(
                select l.payout_ref from payout.listed_transfers as l))
        limit p_limit
        for update of s skip locked
        for key share of t skip locked);

    perform payout.record_listed_transfers(array(
        select l.stripe_transfer_id
        from payout.payout_transfers as t
        join payout.listed_transfers as l on l.payout_ref = t.payout_ref
        where t.payout_transfer_id = any (v_ids)));
end
$$;
comment on function payout.judge_listed_transfers(timestamptz, integer) is
    'Judges up to p_limit transfers, which are then paid or parked.';
