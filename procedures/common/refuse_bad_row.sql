-- refuse_bad_row: raise the error that a check of that name would raise for a row.
--
-- Postgres reads the text of every check anew for each statement; on the tables that a
-- settlement writes, that cost more than the inserts. There a trigger knows all rules of the row
-- by name.
-- Raises: 23514, always.

create or replace function payout.refuse_bad_row(p_table text, p_rule text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'new row for relation "%" violates check constraint "%"', p_table, p_rule
        using
            errcode = '23514',
            schema = 'payout',
            table = p_table,
            constraint = p_rule;
end
$$;
comment on function payout.refuse_bad_row(text, text) is
    'Raises 23514 for a row of the table that breaks the rule.';
