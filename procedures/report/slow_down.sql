-- slow_down: send less, and less often, after refusals that pass by themselves.
--
-- A refusal for the rate lowers the pace of all workers. A decline for lack of funds, or by an
-- account that takes no transfers yet, lets the currency, or the payee, wait: the transfer that was
-- declined, and all that were not sent yet.
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
begin
    -- The last row, of no wait, is that of refusals for the rate.
    for v_refusal in
        select w.awaits, w.subject, min(r.reason) as reason, max(a.claimed_at) as claimed_at,
            array_agg(t.payout_transfer_id order by t.payout_transfer_id) as ids
        from payout.payout_transfers as t
        cross join lateral (
            select n.*
            from payout.transfer_observations as n
            where n.payout_transfer_id = t.payout_transfer_id
            order by n.observation_id desc
            limit 1
        ) as o
        join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
        join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
            and a.attempt = o.attempt
        cross join lateral (
            select r.awaits,
                case r.awaits when 'funds' then t.currency when 'account' then t.payee_id end
        ) as w (awaits, subject)
        where t.payout_transfer_id = any (p_payout_transfer_ids)
            and o.verdict = 'ok'
            -- A limit of one object at Stripe is not one of the fleet.
            and case when r.awaits is not null then o.moved_to = 'failed'
                else r.reason = 'rate_limited' and o.facts ->> 'rate_limited_reason'
                    is distinct from 'resource-specific' end
        group by w.awaits, w.subject
        order by w.awaits nulls last, w.subject
    loop
        if v_refusal.awaits is null then
            perform payout.lower_pace('sends', v_refusal.claimed_at);
            continue;
        end if;
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
end
$$;
comment on function payout.slow_down(bigint[]) is
    'Begins the waits, and lowers the pace, that the newest outcomes of these transfers call for.';
