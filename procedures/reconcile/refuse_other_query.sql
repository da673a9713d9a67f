-- refuse_other_query: refuse a page that answers another query than its run or look-up asks.
--
-- A copy of the database gives out the numbers of runs and look-ups once more, for other queries:
-- a worker that outlives a restore may bring pages of the former ones.
-- Raises: SP341 another query than was given out with the number, or none.

create or replace function payout.refuse_other_query(p_what text, p_query jsonb, p_asked jsonb)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_query is distinct from p_asked then
        raise exception '%: the page answers another query than this database gave out', p_what
            using
                errcode = 'SP341',
                detail = format('It answers %s, asked is %s.', coalesce(p_query::text, 'none'),
                    coalesce(p_asked::text, 'nothing')),
                hint = 'Hand back the query as it was given out; a number counts only in the '
                    'database that gave it out: begin or claim again.';
    end if;
end
$$;
comment on function payout.refuse_other_query(text, jsonb, jsonb) is
    'Raises SP341 unless both queries are the same.';
