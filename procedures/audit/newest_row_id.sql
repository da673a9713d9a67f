-- newest_row_id: the highest id that a sealed table shows.
--
-- Stable, so that it reads with the snapshot of the query that calls it.

create or replace function payout.newest_row_id(p_table_name text)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select r.row_id
        from payout_api.sealed_rows as r
        where r.table_name = p_table_name
        order by r.row_id desc
        limit 1
    );
end
$$;
comment on function payout.newest_row_id(text) is 'The highest id; null: the table is empty.';
