-- pay_again: owe reversed money by a settlement of the engine's own, in place of the transfer.
--
-- Its id is made of the payout_ref, and is one that no settlement has: a repeat of another one
-- would pay nothing. A restored database hands out other numbers of transfers, and has forgotten
-- repayments: under the same id Stripe's list shows them.
-- Raises: SP314 (close_reversed) less than the amount is owed by now.

create or replace function payout.pay_again(
    p_payout_transfer_id bigint, p_amount_minor bigint, p_reason text
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_transfer payout.payout_transfers;
    v_settlement_id text;
begin
    select * into strict v_transfer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_payout_transfer_id;
    perform payout.close_reversed(
        'repay', v_transfer.payee_id, v_transfer.currency, array[p_payout_transfer_id],
        p_amount_minor, p_reason, false);
    v_settlement_id := (
        select i.settlement_id
        from generate_series(1, 1000) as n (number)
        cross join lateral (
            select replace(v_transfer.payout_ref, 'payout_', 'repay_') || '_' || n.number
        ) as i (settlement_id)
        where not exists (
            select from payout.settlements as s where s.settlement_id = i.settlement_id)
        order by n.number
        limit 1);
    perform payout_api.complete_settlement(
        v_settlement_id, v_transfer.currency, jsonb_build_array(jsonb_build_object(
            'line_id', '1', 'payee_id', v_transfer.payee_id, 'amount_minor', p_amount_minor)));
    return query
    select t.payout_transfer_id, t.settlement_id::text, t.payee_id::text,
        payout_api.major_units(t.amount_minor, t.currency), t.amount_minor, t.currency::text,
        s.state::text, 'done', format(
            'pays again what was reversed of transfer %s', p_payout_transfer_id)
    from payout.payout_transfers as t
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where t.settlement_id = v_settlement_id;
end
$$;
comment on function payout.pay_again(bigint, bigint, text) is
    'Closes this amount of what is owed of the reversed transfer and schedules a new one for it; '
    'returns the new one.';
