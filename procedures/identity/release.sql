-- release: the release of the schema, which workers and commands compare with their own.
--
-- Called by: workers and commands, before anything else.

create or replace function payout_api.release()
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select '1.0'
$$;
comment on function payout_api.release() is
    'Major and minor number of the release. A worker of the release before, or of the next one, '
    'goes on while the others are replaced; any other is refused.';
grant execute on function payout_api.release()
    to payout_worker, payout_operator, payout_auditor;
