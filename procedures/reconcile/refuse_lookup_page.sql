-- refuse_lookup_page: the one error for a page that a look-up does not wait for.
--
-- Raises: SP340, always.

create or replace function payout.refuse_lookup_page(p_lookup_id bigint, p_problem text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'look-up %: %', coalesce(p_lookup_id::text, 'null'), p_problem
        using
            errcode = 'SP340',
            hint = 'Read each query of claim_lookups from its start, page by page.',
            schema = 'payout',
            table = 'transfer_lookup_pages';
end
$$;
comment on function payout.refuse_lookup_page(bigint, text) is
    'Raises SP340 with the number of the look-up and the problem.';
