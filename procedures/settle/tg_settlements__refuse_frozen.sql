-- tg_settlements__refuse_frozen: let a settlement be edited while pending, never once complete.
--
-- An update that changes nothing, to the byte, passes: completing twice is harmless, and so is a
-- program that writes all columns of a row that it has read.
-- Raises: SP102 the settlement is complete, or would be renamed.

create or replace function payout.tg_settlements__refuse_frozen()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.state = 'complete' and (tg_op = 'DELETE' or new operator(pg_catalog.*<>) old) then
        raise exception 'settlement % is complete and cannot be changed', old.settlement_id
            using
                errcode = 'SP102',
                detail = 'Its payouts were scheduled from exactly this content.',
                hint = 'Record a correction as another settlement.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if new.settlement_id <> old.settlement_id then
        raise exception 'settlement % cannot be renamed', old.settlement_id
            using
                errcode = 'SP102',
                hint = 'Delete the pending settlement and insert another.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'settlement_id';
    end if;
    return new;
end
$$;
comment on function payout.tg_settlements__refuse_frozen() is
    'Trigger: refuses to change or delete a complete settlement, and to rename one (SP102).';
