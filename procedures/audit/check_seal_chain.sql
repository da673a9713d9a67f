-- check_seal_chain: whether a seal is as it was made and follows the one before it.

create or replace function payout.check_seal_chain(p_seal payout.seals)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
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
$$;
comment on function payout.check_seal_chain(payout.seals) is
    'Names the problem of the seal itself; null: it has none.';
