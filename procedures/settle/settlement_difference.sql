-- settlement_difference: the parts in which a repeated settlement differs from the stored one.

create or replace function payout.settlement_difference(
    p_settlement payout.settlements,
    p_currency text,
    p_lines jsonb,
    p_pay_after timestamptz,
    p_metadata jsonb
)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(', ',
        case when p_settlement.currency <> p_currency then 'currency' end,
        case when p_settlement.pay_after is distinct from p_pay_after then 'pay_after' end,
        case when p_settlement.metadata <> p_metadata then 'metadata' end,
        (
            select 'line ' || coalesce(o.line_id, n.line_id)
            from (
                select l.line_id, l.payee_id, l.amount_minor, l.source_transaction
                from payout.settlement_lines as l
                where l.settlement_id = p_settlement.settlement_id
            ) as o
            full join jsonb_to_recordset(p_lines) as n (
                line_id text, payee_id text, amount_minor bigint, source_transaction text
            ) on n.line_id = o.line_id
            where (o.payee_id, o.amount_minor, o.source_transaction)
                is distinct from (n.payee_id, n.amount_minor, n.source_transaction)
            order by coalesce(o.line_id, n.line_id)
            limit 1
        ))
$$;
comment on function payout.settlement_difference(
    payout.settlements, text, jsonb, timestamptz, jsonb
) is 'Names the parts that differ, for lines the first one; empty when nothing differs.';
