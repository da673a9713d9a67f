-- read_lines: read the lines of a settlement from the JSON that complete_settlement takes.
--
-- One line, the common case, is well formed if it equals itself written anew out of texts.
-- Others are checked by a query, then read in a loop, which costs less than another query.
-- Raises: SP309 not an array of such objects, naming the element.

create or replace function payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb)
returns payout.settlement_lines[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lines payout.settlement_lines[] := '{}'::payout.settlement_lines[];
    v_line jsonb := p_lines -> 0;
    v_line_id text := v_line ->> 'line_id';
    v_payee_id text := v_line ->> 'payee_id';
    v_source_transaction text := v_line ->> 'source_transaction';
    v_amount_minor text := (v_line -> 'amount_minor')::text;
begin
    if jsonb_typeof(p_lines) = 'array' and p_lines -> 1 is null
        and v_amount_minor ~ '^[1-9][0-9]{0,17}$'
        and v_line_id is not null and v_payee_id is not null
        and v_line - 'amount_minor' = (case
            when v_source_transaction is null
                then jsonb_object(array['line_id', v_line_id, 'payee_id', v_payee_id])
            else jsonb_object(array['line_id', v_line_id, 'payee_id', v_payee_id,
                'source_transaction', v_source_transaction])
        end) then
        return array[row(
            p_settlement_id, v_line_id, v_payee_id, v_amount_minor, v_source_transaction
        )::payout.settlement_lines];
    end if;

    perform payout.refuse_bad_lines(p_lines);
    for i in 0 .. jsonb_array_length(p_lines) - 1 loop
        v_line := p_lines -> i;
        v_lines := v_lines || row(
            p_settlement_id, v_line ->> 'line_id', v_line ->> 'payee_id',
            v_line ->> 'amount_minor', v_line ->> 'source_transaction'
        )::payout.settlement_lines;
    end loop;
    return v_lines;
end
$$;
comment on function payout.read_lines(payout.external_id, jsonb) is
    'The lines of a settlement given as JSON, or an error that names the wrong one (SP309).';
