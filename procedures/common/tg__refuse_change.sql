-- tg__refuse_change: refuse to change or remove a fact.
--
-- It stands on every insert-only table, and on others against delete, truncate or a rewrite; it is
-- enabled ALWAYS, so that it also holds for a superuser and under session_replication_role =
-- replica.
-- Raises: SP101 the row is a fact.

create or replace function payout.tg__refuse_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% on %.% is refused', lower(tg_op), tg_table_schema, tg_table_name
        using
            errcode = 'SP101',
            detail = format('The rows of %s.%s are on record.', tg_table_schema, tg_table_name),
            hint = 'A correction is a new row, or an act of payout_api.',
            schema = tg_table_schema,
            table = tg_table_name;
end
$$;
comment on function payout.tg__refuse_change() is
    'Trigger: refuses update, delete and truncate of an insert-only table, and of others the '
    'command or change that it is made for (SP101).';
