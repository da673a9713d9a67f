-- check_seal_rows: the rows of a sealed range that are not as they were sealed.

create or replace function payout.check_seal_rows(p_seal payout.seals)
returns table (row_id bigint, what text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[];
    v_digests bytea[];
    v_rows_sha256 bytea;
begin
    select
        coalesce(array_agg(r.row_id), '{}'), coalesce(array_agg(substr(r.row_sha256, 1, 8)), '{}'),
        sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), ''))
    into v_ids, v_digests, v_rows_sha256
    from payout.sealed_rows_v1(
        p_seal.table_name, p_seal.first_id, p_seal.last_id, null) as r;
    if v_rows_sha256 = p_seal.rows_sha256 then
        return;
    end if;

    return query
    select coalesce(n.row_id, s.row_id), case
        when s.row_id is null then 'slipped in'
        when n.row_id is null then 'removed'
        else 'altered'
    end
    from unnest(v_ids, v_digests) as n (row_id, digest)
    full join (
        select i.row_id, substr(p_seal.row_digests, i.position::integer * 8 - 7, 8) as digest
        from (
            select g.row_id, row_number() over (order by g.row_id) as position
            from unnest(p_seal.row_ids) as r
            cross join lateral generate_series(lower(r), upper(r) - 1) as g (row_id)
        ) as i
    ) as s on s.row_id = n.row_id
    where s.digest is distinct from n.digest
    order by 1;
    -- The digest of the altered row begins like that of the row it replaces.
    if not found then
        return query select null::bigint, 'altered';
    end if;
end
$$;
comment on function payout.check_seal_rows(payout.seals) is
    'Rows that were altered, removed or slipped in; none: all is well.';
