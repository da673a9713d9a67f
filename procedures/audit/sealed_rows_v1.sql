-- sealed_rows_v1: the rows of a range of ids, each with its time and its digest.
--
-- A digest covers the content that payout_api.sealed_rows shows, as JSON without the columns that
-- are null, with times in UTC: no setting of a session shows in it. Seals of version 1 rest on
-- that. A later column keeps older digests where it is null in older rows; else the view leaves it
-- out where it says nothing, or a v2 is written.

create or replace function payout.sealed_rows_v1(
    p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer
)
returns table (row_id bigint, row_at timestamptz, row_sha256 bytea)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set bytea_output = 'hex'
as $$
begin
    return query
    select r.row_id, r.row_at, payout.json_sha256(jsonb_strip_nulls(r.content))
    from payout_api.sealed_rows as r
    where r.table_name = p_table_name and r.row_id between p_first_id and p_last_id
    order by r.row_id
    limit p_limit;
end
$$;
comment on function payout.sealed_rows_v1(text, bigint, bigint, integer) is
    'Up to p_limit rows of a table in a range of ids (inclusive), in order, with the SHA-256 that '
    'seals of version 1 cover.';
