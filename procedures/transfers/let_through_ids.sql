-- let_through_ids: the transfers that an open wait for funds or for an account lets through.
--
-- Called by: claims and sweeps, which read them once, into a hash.

create or replace function payout.let_through_ids()
returns setof bigint
language sql
stable
rows 20
set search_path = pg_catalog, pg_temp
as $$
    select h.probe_transfer_id
    from payout.holds as h
    where h.probe_transfer_id is not null and h.released_at is null
$$;
comment on function payout.let_through_ids() is
    'Numbers of transfers that are tried to see whether a wait is over.';
