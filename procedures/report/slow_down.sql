-- slow_down: send less, and less often, after refusals that pass by themselves.
--
-- A refusal for the rate lowers the pace of all workers. A decline for lack of funds, or by an
-- account that takes no transfers yet, lets the currency, or the payee, wait: the transfer that was
-- declined, and all that were not sent yet.
-- Called by: take_outcomes, once the outcomes are stored.
-- Locks: the waits; the pace of sends.

create or replace function payout.slow_down(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_refusal record;
    v_hold_id bigint;
    v_claimed_at timestamptz;
begin
    for v_refusal in
        select n.awaits, n.subject, min(n.reason) as reason,
            array_agg(n.payout_transfer_id order by n.payout_transfer_id) as ids
        from payout.newest_refusals(p_payout_transfer_ids) as n
        where n.awaits is not null
        group by n.awaits, n.subject
        order by n.awaits, n.subject
    loop
        v_hold_id := payout.begin_wait(
            case v_refusal.awaits when 'funds' then 'currency' else 'payee' end,
            v_refusal.subject, v_refusal.reason, v_refusal.awaits,
            payout.clock() + payout.next_round(v_refusal.awaits, 0),
            v_refusal.awaits = 'funds');
        -- Beside the end of the wait it is tried again as if there were none.
        continue when v_hold_id is null;
        update payout.transfer_states as s
        set hold_id = v_hold_id,
            next_lookup_at = null
        where s.payout_transfer_id = any (v_refusal.ids)
            and s.state = 'failed'
            and s.next_attempt_at is not null
            and payout.progress_problem(s) is null;
    end loop;

    v_claimed_at := (
        select max(n.claimed_at)
        from payout.newest_refusals(p_payout_transfer_ids) as n
        where n.is_for_rate);
    if v_claimed_at is not null then
        perform payout.lower_pace('sends', v_claimed_at);
    end if;
end
$$;
comment on function payout.slow_down(bigint[]) is
    'Begins the waits, and lowers the pace, that the newest outcomes of these transfers call for.';
