-- write_off: give up money that Stripe took back from a payee, so that it is not owed any more.
--
-- Called by: operator. Above approval_limit_minor another person has to approve.
-- Raises: SP314 (close_reversed): asked twice, there is nothing left to write off.

create or replace function payout_api.write_off(
    p_payee_id text,
    p_currency text,
    p_amount_minor bigint,
    p_reason text,
    p_preview boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := array(
        select r.payout_transfer_id
        from payout_api.reversed_money as r
        where r.payee_id = p_payee_id and r.currency = p_currency);
    v_acts payout.act_result[] := array(
        select a
        from payout.close_reversed(
            'write_off', p_payee_id, p_currency, v_ids, p_amount_minor, p_reason, true) as a);
begin
    if p_preview is true then
        return query select * from unnest(v_acts);
        return;
    end if;
    v_ids := array(select a.payout_transfer_id from unnest(v_acts) as a);
    if p_amount_minor > (select e.approval_limit_minor from payout.engine_settings as e) then
        return query
        select * from payout.propose(
            'write_off', p_reason, v_ids, jsonb_build_object(
                'payee_id', p_payee_id, 'currency', p_currency, 'amount_minor', p_amount_minor),
            p_payee_id);
    else
        return query
        select * from payout.close_reversed(
            'write_off', p_payee_id, p_currency, v_ids, p_amount_minor, p_reason, false);
    end if;
end
$$;
comment on function payout_api.write_off(text, text, bigint, text, boolean) is
    'Writes off reversed money of a payee, in minor units, oldest transfer first '
    '(payout_api.reversed_money); one row for each transfer. p_preview changes nothing.';
grant execute on function payout_api.write_off(text, text, bigint, text, boolean)
    to payout_operator;
