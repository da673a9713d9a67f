-- waits_of: lock the waits for funds and for accounts under which transfers stand.
--
-- Called by: act, before it locks the transfers, as a release locks its hold first; record_acts, to
-- end those of the transfers that are retried. A retry ends no other wait.
-- Locks: the waits, in id order.

create or replace function payout.waits_of(p_payout_transfer_ids bigint[])
returns bigint[]
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select h.hold_id
        from payout.holds as h
        where h.released_at is null
            and h.awaits in ('funds', 'account')
            and h.hold_id in (
                select (payout.wait_of(s, t)).hold_id
                from payout.transfer_states as s
                join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
                where s.payout_transfer_id = any (p_payout_transfer_ids))
        order by h.hold_id
        for update)
$$;
comment on function payout.waits_of(bigint[]) is
    'Ids of the longest wait of each, if it is for funds or for an account.';
