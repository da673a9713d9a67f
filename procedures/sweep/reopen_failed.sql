-- reopen_failed: give failed transfers a new key when it is due, on the evidence that allows it.
--
-- A new key is opened only if the former one ended in a decline with no other attempt open
-- (judge_decline saw to it), and a look after it found nothing; or if it was proved absent
-- (judge_absence); and no key of this transfer ever saw a success. One that waits stays failed.
-- Locks: the transfers' progress rows, and their own, to which observations refer; skipping those
-- that are locked.

create or replace function payout.reopen_failed(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return payout.open_keys(p_now, array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        cross join payout.engine_settings as e
        where s.next_attempt_at <= p_now
            and s.state = 'failed'
            and s.hold_id is null
            and payout.counted_keys(s) < e.max_generations
            and payout.evidence_for_new_key(s) is not null
            and not payout.was_seen_at_stripe(s.payout_transfer_id)
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
        for key share of t skip locked));
end
$$;
comment on function payout.reopen_failed(timestamptz, integer) is
    'Opens the next key for up to p_limit transfers; returns how many.';
