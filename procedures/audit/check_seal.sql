-- check_seal: the differences between a seal and the rows that it covers.
--
-- Sub-totals are compared only where the rows are unchanged: otherwise they must differ.

create or replace function payout.check_seal(p_seal payout.seals)
returns table (table_name text, row_id bigint, seal_id bigint, what text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with changed as materialized (
        select r.row_id, r.what from payout.check_seal_rows(p_seal) as r
    )
    select 'seals', p_seal.seal_id, p_seal.seal_id, c.what
    from (
        select case
            when p_seal.seal_id > 1 and not exists (
                select from payout.seals as b where b.seal_id = p_seal.seal_id - 1
            ) then 'the seal before it is missing'
            when p_seal.seal_sha256 <> payout.seal_sha256(p_seal)
                then 'it was altered, or the seal before it was'
            when p_seal.first_id is distinct from coalesce((
                select max(b.last_id) + 1
                from payout.seals as b
                where b.table_name = p_seal.table_name and b.last_id < p_seal.last_id
            ), -9223372036854775808) then 'it does not begin where the one before it ended'
        end
    ) as c (what)
    where c.what is not null
    union all
    select p_seal.table_name, c.row_id, p_seal.seal_id, c.what
    from changed as c
    union all
    select 'seal_subtotals', null, p_seal.seal_id, format('%s %s is altered', account, currency)
    from (select s.* from payout.seal_subtotals as s where s.seal_id = p_seal.seal_id) as s
    full join payout.subtotals_of(p_seal) as b using (account, currency)
    where s is distinct from b
        and not exists (select from changed as c)
$$;
comment on function payout.check_seal(payout.seals) is
    'One row for each difference: in the seal itself, in the rows, in the sub-totals.';
