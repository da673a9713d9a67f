-- refuse_list: the one error for a page or list of Stripe's that is malformed or not expected.
--
-- Raises: SP341, always.

create or replace function payout.refuse_list(p_what text, p_problem text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '%: %', p_what, p_problem
        using
            errcode = 'SP341',
            hint = 'Read the list page by page, from the cursor that the database names.';
end
$$;
comment on function payout.refuse_list(text, text) is
    'Raises SP341 with a subject and its problem.';
