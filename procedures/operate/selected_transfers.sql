-- selected_transfers: the transfers that an operator names, by any of five marks, joined by "and".
--
-- By reason alone, or by currency, only transfers that are not paid are meant. A reason is what
-- payout_api.unpaid shows, which may be that of a wait and stand in no row of the transfer.
-- Raises: SP314 no mark at all; SP310 none of that number, settlement, payee or currency.

create or replace function payout.selected_transfers(
    p_payout_transfer_id bigint,
    p_settlement_id text default null,
    p_payee_id text default null,
    p_currency text default null,
    p_because text default null
)
returns bigint[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_unknown text;
    v_ids bigint[];
begin
    if num_nonnulls(p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency, p_because) = 0
    then
        raise exception 'it is not said of which transfers'
            using
                errcode = 'SP314',
                hint = 'Name them by p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency '
                    'or p_because (a reason of payout_api.unpaid), or by several of these.';
    end if;
    v_unknown := case
        when p_payout_transfer_id is not null and not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = p_payout_transfer_id
        ) then format('transfer %s', p_payout_transfer_id)
        when p_settlement_id is not null and not exists (
            select from payout.settlements as s where s.settlement_id = p_settlement_id
        ) then format('settlement %s', p_settlement_id)
        when p_payee_id is not null and not exists (
            select from payout.payees as p where p.payee_id = p_payee_id
        ) then format('payee %s', p_payee_id)
        when p_currency is not null and not exists (
            select from payout.currencies as c where c.currency = p_currency
        ) then format('currency %s', p_currency)
    end;
    if v_unknown is not null then
        raise exception 'there is no %', v_unknown
            using
                errcode = 'SP310',
                hint = 'Look for the exact id; currencies are written in lower case.';
    end if;

    v_ids := array(
        select t.payout_transfer_id
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where (p_payout_transfer_id is null or t.payout_transfer_id = p_payout_transfer_id)
            and (p_settlement_id is null or t.settlement_id = p_settlement_id)
            and (p_payee_id is null or t.payee_id = p_payee_id)
            and (p_currency is null or t.currency = p_currency)
            and (s.state not in ('paid', 'cancelled', 'settled_outside')
                or num_nonnulls(p_payout_transfer_id, p_settlement_id) > 0)
        order by t.payout_transfer_id);
    if p_because is null then
        return v_ids;
    end if;
    return array(
        select e.payout_transfer_id
        from payout_api.explained as e
        where e.payout_transfer_id = any (v_ids) and e.reason = p_because
        order by e.payout_transfer_id);
end
$$;
comment on function payout.selected_transfers(bigint, text, text, text, text) is
    'Numbers of the transfers, in order; those that are done only if named by number or '
    'settlement.';
