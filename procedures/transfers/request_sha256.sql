-- request_sha256: the digest of a frozen request.
--
-- It is taken of the text in the encoding of the database, backslashes doubled for the cast
-- only. The trigger that writes digests has the same expression: a call would cost more than it.

create or replace function payout.request_sha256(p_request jsonb)
returns bytea
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return sha256(replace(p_request::text, E'\\', E'\\\\')::bytea);
end
$$;
comment on function payout.request_sha256(jsonb) is 'SHA-256 of the JSON text of a request.';
