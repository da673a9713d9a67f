-- repay: pay the amount again that Stripe took back of one paid transfer.
--
-- Called by: operator. A settlement of the engine's own owes the payee the amount; the reversed
-- transfer owes it no more. Above approval_limit_minor another person has to approve.
-- Raises: SP310 no such transfer; SP314 no reason, or nothing reversed is owed: asked twice, it
-- pays once.

create or replace function payout_api.repay(
    p_payout_transfer_id bigint, p_reason text, p_preview boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := payout.selected_transfers(p_payout_transfer_id, null, null, null, null);
    v_owed payout.act_result := payout.owed_again(p_payout_transfer_id, p_reason);
    v_takes_two boolean := v_owed.amount_minor > (
        select e.approval_limit_minor from payout.engine_settings as e);
begin
    if p_preview is true then
        v_owed.detail := v_owed.detail || case when v_takes_two
            then ', once another person approves' else '' end;
        return query select v_owed.*;
    elsif v_takes_two then
        return query
        select * from payout.proposed_acts(v_ids, payout.propose(
            'repay', p_payout_transfer_id::text, p_reason, jsonb_build_object(
                'payout_transfer_ids', to_jsonb(v_ids), 'amount_minor', v_owed.amount_minor)));
    else
        return query
        select * from payout.pay_again(p_payout_transfer_id, v_owed.amount_minor, p_reason);
    end if;
end
$$;
comment on function payout_api.repay(bigint, text, boolean) is
    'Pays the open amount of payout_api.reversed_money of a transfer again; returns its new '
    'transfer. p_preview changes nothing.';
revoke execute on function payout_api.repay(bigint, text, boolean) from public;
grant execute on function payout_api.repay(bigint, text, boolean) to payout_operator;
