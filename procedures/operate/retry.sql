-- retry: let transfers go on now, in the one way that is safe for each.
--
-- Called by: operator, once the cause is gone: the balance was topped up, the payee has another
-- account. A waiting transfer is due now; a failed one gets its next key from the sweep, to the
-- payee's present account, once a look at Stripe finds nothing of it; a parked one is looked up. A
-- large transfer that was proved absent needs an approval. With p_force a parked one is given up
-- without the proof, which always does: then it fails, and a look still has to find nothing.
-- Safe to repeat. Raises: SP310, SP314 (selected_transfers); SP314 no reason.

create or replace function payout_api.retry(
    p_reason text,
    p_payout_transfer_id bigint default null,
    p_settlement_id text default null,
    p_payee_id text default null,
    p_currency text default null,
    p_because text default null,
    p_preview boolean default false,
    p_force boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := payout.selected_transfers(
        p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency, p_because);
    v_for_two bigint[] := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (v_ids)
            and s.state = 'parked'
            and (p_force or s.reason = 'absence_awaits_approval'));
begin
    return query
    select * from payout.act(
        'retry', array(select i from unnest(v_ids) as i where i <> all (v_for_two)), p_reason,
        p_preview);
    return query
    select * from payout.act(
        case when p_force then 'give_up' else 'approve_absence' end, v_for_two, p_reason,
        p_preview, p_takes_two => true);
end
$$;
comment on function payout_api.retry(
    text, bigint, text, text, text, text, boolean, boolean
) is
    'Lets the transfers that are named by any of the marks, joined by and, go on now: sent again, '
    'looked up, or with a new key where the evidence allows it. One row for each with its result; '
    'p_preview changes nothing; p_force proposes to give parked ones up.';
grant execute on function payout_api.retry(
    text, bigint, text, text, text, text, boolean, boolean
) to payout_operator;
