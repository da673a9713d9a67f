-- close_reversed: book that reversed money of a payee is not owed any more, oldest transfer first.
--
-- A reversal that another transaction books meanwhile has a row of its own in open_reversals, which
-- stays: neither waits for the other.
-- Locks: the progress rows of the transfers, in id order.
-- Raises: SP314 no reason, no amount, or more than is owed of these transfers; SP401 not read
-- committed.

create or replace function payout.close_reversed(
    p_verb text,
    p_payee_id text,
    p_currency text,
    p_payout_transfer_ids bigint[],
    p_amount_minor bigint,
    p_reason text,
    p_preview boolean
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_acts payout.act_result[];
    v_open_minor numeric;
    v_action_id bigint;
begin
    perform from payout.transfer_states as s
    where s.payout_transfer_id = any (p_payout_transfer_ids)
    order by s.payout_transfer_id for update;
    select coalesce(sum(r.open_minor), 0),
        array_agg(row(r.payout_transfer_id, r.settlement_id, r.payee_id,
            payout_api.major_units(r.part_minor, r.currency), r.part_minor, r.currency, 'paid',
            case when p_preview then 'preview' else 'done' end,
            format('%s of %s reversed%s', payout_api.major_units(r.part_minor, r.currency),
                payout_api.major_units(r.open_minor, r.currency),
                case when p_preview and p_amount_minor > e.approval_limit_minor
                    then ', once another person approves' end))::payout.act_result
            order by r.payout_transfer_id) filter (where r.part_minor > 0)
    into v_open_minor, v_acts
    from (
        -- Numeric: what several transfers owe need not be a bigint.
        select o.*, least(o.open_minor, p_amount_minor::numeric + o.open_minor
            - sum(o.open_minor) over (order by o.payout_transfer_id))::bigint as part_minor
        from payout_api.reversed_money as o
        where o.payout_transfer_id = any (p_payout_transfer_ids)
    ) as r
    cross join payout.engine_settings as e;
    if coalesce(btrim(p_reason), '') = '' or coalesce(p_amount_minor, 0) <= 0
        or p_amount_minor > v_open_minor then
        raise exception 'cannot % % % of %, of whom % reversed are owed, for reason %',
            replace(p_verb, '_', ' '),
            coalesce(payout_api.major_units(p_amount_minor, p_currency)::text, 'the'), p_currency,
            p_payee_id, coalesce(payout_api.major_units(v_open_minor, p_currency), 0),
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP314',
                hint = 'payout_api.reversed_money has the amounts, in minor units; give a reason.';
    end if;
    if p_preview is not true then
        perform payout.refuse_old_snapshot('nothing is done');
        insert into payout.operator_actions (action, subject, reason, details)
        values (p_verb, p_payee_id, p_reason, jsonb_build_object(
            'currency', p_currency, 'amount_minor', p_amount_minor,
            'payout_transfer_ids', to_jsonb(p_payout_transfer_ids)))
        returning operator_action_id into v_action_id;
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency, operator_action_id)
        select a.payout_transfer_id, 'write_off', s.generation, 'payable:' || a.payee_id,
            'settlement_funds', a.amount_minor, a.currency, v_action_id
        from unnest(v_acts) as a
        join payout.transfer_states as s on s.payout_transfer_id = a.payout_transfer_id;
        delete from payout.open_reversals as o
        where o.payout_transfer_id = any (p_payout_transfer_ids)
            and not exists (
                select from payout_api.reversed_money as m
                where m.payout_transfer_id = o.payout_transfer_id
            );
    end if;
    return query select * from unnest(v_acts);
end
$$;
comment on function payout.close_reversed(
    text, text, text, bigint[], bigint, text, boolean
) is
    'Books p_amount_minor of these transfers of a payee as write_off entries; one row for each '
    'transfer. A preview changes nothing, and says if another person has to approve.';
