-- approve_absence: let the engine take a large transfer for absent at Stripe, on its own proof.
--
-- Called by: operator, after a look at Stripe. It proves nothing by itself: the engine looks the
-- transfer up once more, at once, and only then opens a new key.
-- Safe to repeat. Raises: SP310 no such transfer; SP314 it is not parked, or no reason.

create or replace function payout_api.approve_absence(p_payout_transfer_id bigint, p_reason text)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state payout.transfer_states;
    v_action_id bigint;
begin
    select * into v_state
    from payout.transfer_states as s
    where s.payout_transfer_id = p_payout_transfer_id
    for update;
    if not found then
        raise exception 'there is no transfer %', coalesce(p_payout_transfer_id::text, 'null')
            using
                errcode = 'SP310',
                hint = 'payout_api.unpaid lists the transfers that are not paid.';
    elsif v_state.state <> 'parked' or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot approve the absence of transfer %, which is %, for reason %',
            p_payout_transfer_id, v_state.state, coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP314',
                hint = 'Only parked transfers are looked up at Stripe; give a reason.';
    end if;

    insert into payout.operator_actions (action, subject, reason, details)
    values ('approve_absence', p_payout_transfer_id::text, p_reason,
        jsonb_build_object('generation', v_state.generation))
    returning operator_action_id into v_action_id;
    update payout.transfer_states as s
    set next_lookup_at = payout.clock()
    where s.payout_transfer_id = p_payout_transfer_id;
    return v_action_id;
end
$$;
comment on function payout_api.approve_absence(bigint, text) is
    'Approves that a transfer above engine_settings.absence_limit_minor gets a new key once the '
    'engine has proved it absent at Stripe; returns the number of the noted action.';
revoke execute on function payout_api.approve_absence(bigint, text) from public;
grant execute on function payout_api.approve_absence(bigint, text) to payout_operator;
