-- total_minor: what lines add up to.

create or replace function payout.total_minor(p_lines payout.settlement_lines[])
returns numeric
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_line payout.settlement_lines;
    v_total_minor numeric := 0::numeric;
begin
    foreach v_line in array p_lines loop
        v_total_minor := v_total_minor + v_line.amount_minor;
    end loop;
    return v_total_minor;
end
$$;
comment on function payout.total_minor(payout.settlement_lines[]) is
    'Sum of amount_minor over the lines, in minor units.';
