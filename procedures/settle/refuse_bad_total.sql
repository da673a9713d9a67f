-- refuse_bad_total: refuse a settlement whose lines do not add up to its total.
--
-- Raises: SP303 they do not.

create or replace function payout.refuse_bad_total(p_settlement payout.settlements)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lines_minor numeric;
begin
    select coalesce(sum(l.amount_minor), 0) into v_lines_minor
    from payout.settlement_lines as l
    where l.settlement_id = p_settlement.settlement_id;

    if v_lines_minor <> p_settlement.total_minor then
        raise exception 'settlement %: lines add up to %, total_minor is %, difference %',
            p_settlement.settlement_id, v_lines_minor, p_settlement.total_minor,
            p_settlement.total_minor - v_lines_minor
            using
                errcode = 'SP303',
                hint = 'Insert every line in the transaction that completes the settlement.';
    end if;
end
$$;
comment on function payout.refuse_bad_total(payout.settlements) is
    'Refuses such a settlement (SP303), naming the difference.';
