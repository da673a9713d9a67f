-- tg__close_once: refuse every change of a row but the one that closes it.
--
-- The trigger's arguments are the columns that the change sets; the first is the time.
-- Raises: SP104 any other change.

create or replace function payout.tg__close_once()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_jsonb(old) ->> tg_argv[0] is not null
        or to_jsonb(new) - tg_argv is distinct from to_jsonb(old) - tg_argv then
        raise exception 'a row of %.% changes once, when % is set',
            tg_table_schema, tg_table_name, tg_argv[0]
            using
                errcode = 'SP104',
                hint = 'Its history stays: place another hold, or wait for the next comparison.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return new;
end
$$;
comment on function payout.tg__close_once() is
    'Trigger: lets a row set the columns that are its arguments, once, and no other (SP104).';
