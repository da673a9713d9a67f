-- refuse_list: the one error for what was read of Stripe's lists and is not taken.
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
            hint = 'Read the list from where the database says, page by page, to its end.';
end
$$;
comment on function payout.refuse_list(text, text) is
    'Raises SP341 for a page or list of Stripe''s that is malformed or not the one expected.';
