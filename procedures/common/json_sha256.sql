-- json_sha256: the digest of a sealed row, or of a request, given as JSON.

create or replace function payout.json_sha256(p_json jsonb)
returns bytea
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return sha256(convert_to(p_json::text, 'UTF8'));
end
$$;
comment on function payout.json_sha256(jsonb) is 'SHA-256 of a JSON text in UTF-8.';
