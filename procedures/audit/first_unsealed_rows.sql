-- first_unsealed_rows: the first row of each sealed table that no seal covers.

create or replace function payout.first_unsealed_rows()
returns table (table_name text, row_at timestamptz, marked_at timestamptz)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select m.table_name, r.row_at, m.marked_at
    from payout.seal_marks as m
    cross join lateral payout.sealed_rows_v1(
        m.table_name,
        coalesce(
            (select max(s.last_id) + 1 from payout.seals as s where s.table_name = m.table_name),
            -9223372036854775808),
        9223372036854775807, 1) as r
$$;
comment on function payout.first_unsealed_rows() is
    'Each with its time, and the time of the mark that its table has; no row: all are sealed.';
