-- tg_holds__release_once: refuse every change of a hold but its first release.
--
-- Raises: SP104 any other change.

create or replace function payout.tg_holds__release_once()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.released_at is not null
        or (new.hold_id, new.scope, new.subject, new.reason, new.placed_by, new.placed_at)
            is distinct from
            (old.hold_id, old.scope, old.subject, old.reason, old.placed_by, old.placed_at)
    then
        raise exception 'hold % can only be released, once', old.hold_id
            using
                errcode = 'SP104',
                hint = 'Place another hold.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return new;
end
$$;
comment on function payout.tg_holds__release_once() is
    'Trigger: a hold is released once and does not change otherwise (SP104).';
