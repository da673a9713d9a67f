-- read_lines: the lines of a settlement out of the JSON that complete_settlement takes.
--
-- Paths and a loop: for one line and for ten thousand they cost less than a query.
-- Raises: SP309 not an array of such objects, naming the element.

create or replace function payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb)
returns payout.settlement_lines[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lines payout.settlement_lines[] := '{}'::payout.settlement_lines[];
    v_line jsonb;
    v_amount_minor numeric;
begin
    if jsonb_typeof(p_lines) is distinct from 'array'
        or jsonb_array_length(p_lines) <> 1
        or coalesce(p_lines @? '$[*].keyvalue() ? (!(
            @.key == "line_id" && @.value.type() == "string"
            || @.key == "payee_id" && @.value.type() == "string"
            || @.key == "amount_minor" && @.value.type() == "number"
                && @.value.abs() <= 999999999999999999
            || @.key == "source_transaction"
                && (@.value.type() == "string" || @.value == null)))', true) then
        perform payout.refuse_bad_lines(p_lines);
    end if;
    for i in 0 .. jsonb_array_length(p_lines) - 1 loop
        v_line := p_lines -> i;
        v_amount_minor := (v_line ->> 'amount_minor')::numeric;
        if v_line ->> 'line_id' is null or v_line ->> 'payee_id' is null
            or v_amount_minor is null or scale(v_amount_minor) > 0 then
            perform payout.refuse_bad_lines(p_lines);
        end if;
        v_lines := v_lines || row(
            p_settlement_id, v_line ->> 'line_id', v_line ->> 'payee_id',
            v_amount_minor, v_line ->> 'source_transaction'
        )::payout.settlement_lines;
    end loop;
    return v_lines;
end
$$;
comment on function payout.read_lines(payout.external_id, jsonb) is
    'The lines of a settlement given as JSON, or an error that names the wrong one (SP309).';
