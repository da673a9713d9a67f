-- held: the subjects of one scope that are on hold, or that wait for one thing.
--
-- Called by: claims, which read each scope once, into a hash.

create or replace function payout.held(p_scope text, p_awaits text default null)
returns setof text
language sql
stable
rows 100
set search_path = pg_catalog, pg_temp
as $$
    select h.subject
    from payout.holds as h
    where h.scope = p_scope
        and h.released_at is null
        and h.awaits is not distinct from p_awaits
$$;
comment on function payout.held(text, text) is
    'Names of workers and currencies, ids of payees, settlements and transfers; without '
    'p_awaits those on hold by a person or an alarm.';
