-- seal_sha256: the hash of a seal, over its content and the hash of the seal before it.
--
-- So a seal cannot be changed, removed or slipped in without a change of every later one, which a
-- hash that was kept elsewhere shows.

create or replace function payout.seal_sha256(p_seal payout.seals)
returns bytea
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select sha256(
        coalesce(
            (select b.seal_sha256 from payout.seals as b where b.seal_id = p_seal.seal_id - 1), '')
        || convert_to(jsonb_build_array(
            p_seal.seal_id, p_seal.seal_version, p_seal.table_name, p_seal.first_id,
            p_seal.last_id, p_seal.row_ids::text, encode(p_seal.row_digests, 'hex'),
            encode(p_seal.rows_sha256, 'hex'), extract(epoch from p_seal.rows_from)::text,
            extract(epoch from p_seal.rows_until)::text,
            extract(epoch from p_seal.sealed_at)::text)::text, 'UTF8'))
$$;
comment on function payout.seal_sha256(payout.seals) is
    'SHA-256 of the former hash, followed by the other columns as a JSON array.';
