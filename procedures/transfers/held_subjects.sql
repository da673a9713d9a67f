-- held_subjects: the subjects on hold in one scope.

create or replace function payout.held_subjects(p_scope text)
returns text[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select h.subject
        from payout.holds as h
        where h.scope = p_scope
            and h.released_at is null)
$$;
comment on function payout.held_subjects(text) is
    'The currencies, payees or settlements with an open hold.';
