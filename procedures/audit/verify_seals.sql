-- verify_seals: the first row of each table that is not as it was sealed.
--
-- It reads all that seals from p_from to p_to cover, and says after each thousand how far it is:
-- that number and one is where to go on.
-- p_head is a former result of seal_head(): without it, neither the removal of the newest seals
-- shows nor a chain that was made anew from some seal on.
-- Raises: SP330 no such seal to start from, or a malformed head.

create or replace function payout_api.verify_seals(
    p_from bigint default 1, p_to bigint default null, p_head text default null
)
returns table (table_name text, row_id bigint, seal_id bigint, what text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
as $$
declare
    v_last bigint := least(p_to, coalesce((select max(s.seal_id) from payout.seals as s), 0));
    v_known text[] := '{}'::text[];
begin
    if p_from is null or (p_from <> 1 and not exists (
        select from payout.seals as s where s.seal_id = p_from
    )) then
        raise exception 'there is no seal %', coalesce(p_from::text, 'null')
            using
                errcode = 'SP330',
                hint = 'select min(seal_id), max(seal_id) from payout.seals';
    end if;
    if p_head !~ '^[1-9][0-9]{0,17}:[0-9a-f]{64}$' then
        raise exception 'head % is malformed', p_head
            using
                errcode = 'SP330',
                hint = 'Give a result of payout_api.seal_head(): number, colon, 64 hex digits.';
    end if;

    for v_first in p_from::integer .. greatest(v_last, p_from)::integer by 1000 loop
        for table_name, row_id, seal_id, what in
            select distinct on (d.table_name) d.table_name, d.row_id, d.seal_id, d.what
            from (
                select c.*
                from payout.seals as s
                cross join lateral payout.check_seal(s) as c
                where s.seal_id between v_first and least(v_first + 999, v_last)
                union all
                select 'seals', h.seal_id, h.seal_id, 'it is not the seal that the kept head names'
                from (select split_part(p_head, ':', 1)::bigint, split_part(p_head, ':', 2))
                    as h (seal_id, sha256)
                where p_head is not null and v_first = p_from and not exists (
                    select from payout.seals as s
                    where s.seal_id = h.seal_id and s.seal_sha256 = decode(h.sha256, 'hex')
                )
            ) as d
            where d.table_name <> all (v_known)
            order by d.table_name, d.seal_id, d.row_id
        loop
            v_known := v_known || table_name;
            return next;
        end loop;
        if v_first + 999 < v_last then
            raise notice 'seals up to % are verified, of %; % found', v_first + 999, v_last,
                cardinality(v_known);
        end if;
    end loop;
end
$$;
comment on function payout_api.verify_seals(bigint, bigint, text) is
    'Recomputes seals from p_from to p_to (null: the newest) and returns per table the first '
    'row that was altered, removed or slipped in, table seals for the chain itself; nothing when '
    'all is as it was sealed.';
grant execute on function payout_api.verify_seals(bigint, bigint, text)
    to payout_operator, payout_auditor;
