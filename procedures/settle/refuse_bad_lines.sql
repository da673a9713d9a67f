-- refuse_bad_lines: name the first of the lines given as JSON that cannot be read.
--
-- Raises: SP309 not an array of such objects, naming the element.

create or replace function payout.refuse_bad_lines(p_lines jsonb)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    if p_lines is null or jsonb_typeof(p_lines) <> 'array' or p_lines = '[]' then
        v_problem := 'p_lines is not an array with at least one line';
    else
        select format('line %s of p_lines %s', e.position, c.problem) into v_problem
        from (
            select e.line, e.position,
                row_number() over (partition by e.line ->> 'line_id' order by e.position) as nth
            from jsonb_array_elements(p_lines) with ordinality as e (line, position)
        ) as e
        cross join lateral (select case
            when jsonb_typeof(e.line) <> 'object' then 'is not an object'
            when jsonb_typeof(e.line -> 'line_id') is distinct from 'string'
                then 'has no text line_id'
            when jsonb_typeof(e.line -> 'payee_id') is distinct from 'string'
                then 'has no text payee_id'
            when jsonb_typeof(e.line -> 'amount_minor') is distinct from 'number'
                or e.line ->> 'amount_minor' !~ '^-?[0-9]+$'
                then 'has no whole number amount_minor'
            when e.line ->> 'amount_minor' !~ '^[1-9]'
                then 'has an amount_minor that is not above 0'
            when (e.line -> 'amount_minor')::numeric > 9223372036854775807
                then 'has an amount_minor that no bigint holds'
            when coalesce(jsonb_typeof(e.line -> 'source_transaction'), 'null')
                not in ('string', 'null')
                then 'has a source_transaction that is not text'
            when e.line - array['line_id', 'payee_id', 'amount_minor', 'source_transaction'] <> '{}'
                then 'has a key that is none of line_id, payee_id, amount_minor, source_transaction'
            when e.nth > 1 then format('repeats the line_id %s', e.line ->> 'line_id')
        end) as c (problem)
        where c.problem is not null
        order by e.position
        limit 1;
    end if;

    if v_problem is not null then
        raise exception '%', v_problem
            using
                errcode = 'SP309',
                hint = 'A line is {"line_id":"1","payee_id":"seller_1","amount_minor":700}.';
    end if;
end
$$;
comment on function payout.refuse_bad_lines(jsonb) is
    'Refuses lines given as JSON that cannot be read, naming the first (SP309).';
