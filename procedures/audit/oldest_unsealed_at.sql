-- oldest_unsealed_at: the time of the oldest fact that no seal covers.
--
-- It reads the first row of each table after its last seal.

create or replace function payout.oldest_unsealed_at()
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select min(r.row_at)
        from payout.seal_marks as m
        cross join lateral (
            select n.row_at
            from payout_api.sealed_rows as n
            where n.table_name = m.table_name
                and n.row_id > coalesce((
                    select max(s.last_id) from payout.seals as s
                    where s.table_name = m.table_name), -9223372036854775808)
            order by n.row_id
            limit 1
        ) as r
    );
end
$$;
comment on function payout.oldest_unsealed_at() is 'The time of that row; null: all are sealed.';
