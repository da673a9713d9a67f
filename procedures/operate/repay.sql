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
    v_ids bigint[] := payout.selected_transfers(p_payout_transfer_id);
    v_owed payout.act_result;
begin
    select a.* into v_owed
    from payout.payout_transfers as t
    left join payout_api.reversed_money as r on r.payout_transfer_id = t.payout_transfer_id
    cross join lateral payout.close_reversed(
        'repay', t.payee_id, t.currency, v_ids, r.open_minor, p_reason, true) as a
    where t.payout_transfer_id = p_payout_transfer_id;
    if p_preview is true then
        return next v_owed;
    elsif v_owed.amount_minor > (
        select e.approval_limit_minor from payout.engine_settings as e
    ) then
        return query
        select * from payout.propose(
            'repay', p_reason, v_ids, jsonb_build_object('amount_minor', v_owed.amount_minor));
    else
        return query
        select * from payout.pay_again(p_payout_transfer_id, v_owed.amount_minor, p_reason);
    end if;
end
$$;
comment on function payout_api.repay(bigint, text, boolean) is
    'Pays the open amount of payout_api.reversed_money of a transfer again; returns its new '
    'transfer. p_preview changes nothing.';
grant execute on function payout_api.repay(bigint, text, boolean) to payout_operator;
