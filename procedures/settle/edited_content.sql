-- edited_content: the amounts in which an application's rows differ from a frozen settlement.
--
-- They are compared as transfers are made of them, by payee and source: lines that were deleted and
-- written again, with other ids, are the same. Nothing that an application may hand in raises an
-- error, since its own transaction would fail.

create or replace function payout.edited_content(
    p_settlement payout.settlements, p_currency text, p_lines jsonb
)
returns table (ours jsonb, theirs jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with settled as (
        select l.payee_id::text, l.source_transaction::text, sum(l.amount_minor) as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ), handed_in as (
        select e.line ->> 'payee_id' as payee_id, e.line ->> 'source_transaction',
            trim_scale(sum(case jsonb_typeof(e.line -> 'amount_minor')
                when 'number' then (e.line -> 'amount_minor')::numeric end)) as amount_minor
        from jsonb_array_elements(
            case jsonb_typeof(p_lines) when 'array' then p_lines else '[]' end) as e (line)
        where jsonb_typeof(e.line) = 'object'
        group by e.line ->> 'payee_id', e.line ->> 'source_transaction'
        having sum(case jsonb_typeof(e.line -> 'amount_minor')
            when 'number' then (e.line -> 'amount_minor')::numeric end) is distinct from 0
    )
    select o.side, t.side
    from (
        select jsonb_build_object('settlement_id', p_settlement.settlement_id,
            'currency', p_settlement.currency, 'owed', coalesce(jsonb_agg(
                jsonb_strip_nulls(to_jsonb(c)) order by c.payee_id, c.source_transaction), '[]'))
        from (table settled except table handed_in) as c
    ) as o (side)
    cross join (
        select jsonb_build_object('settlement_id', p_settlement.settlement_id,
            'currency', p_currency, 'owed', coalesce(jsonb_agg(
                jsonb_strip_nulls(to_jsonb(c)) order by c.payee_id, c.source_transaction), '[]'))
        from (table handed_in except table settled) as c (
            payee_id, source_transaction, amount_minor)
    ) as t (side)
$$;
comment on function payout.edited_content(payout.settlements, text, jsonb) is
    'Settlement, currency and the amounts of payees that only one side has, as settled (ours) and '
    'as handed in (theirs); both are equal where nothing was edited.';
