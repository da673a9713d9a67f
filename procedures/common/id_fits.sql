-- id_fits: the rules of an id that is not plainly short, printable ASCII.
--
-- Called by: the check of the domain external_id, hence also by the application, which writes
-- such ids itself. A check of the domain for each rule cost twice as much.
-- Raises: 23514 with the name of the first rule that is broken, as the domain would.

create or replace function payout.id_fits(p_id text)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- E'': a session may read plain literals in the old way.
    v_broken text := case
        when p_id ~ E'^[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]'
            or p_id ~ E'[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]$'
            then 'id_has_no_blank_at_its_ends'
        when p_id ~ E'[\\x01-\\x1f\\x7f-\\x9f]' then 'id_has_no_control_characters'
        -- Soft hyphen, byte order mark and other invisible ones; the two joiners are allowed,
        -- because some scripts are written with them.
        when p_id ~ E'[\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e'
                '\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]'
            then 'id_has_no_invisible_characters'
        when length(p_id) not between 1 and 200 then 'id_is_1_to_200_characters'
        when p_id is not nfc normalized then 'id_is_in_unicode_normal_form_c'
    end;
begin
    if v_broken is not null then
        raise exception 'value for domain payout.external_id violates check constraint "%"',
            v_broken
            using
                errcode = '23514',
                detail = format('The id is %L.', left(p_id, 60)),
                schema = 'payout',
                datatype = 'external_id',
                constraint = v_broken;
    end if;
    return true;
end
$$;
comment on function payout.id_fits(text) is
    'Check: 1 to 200 characters, no blank at its ends, no control or invisible characters, '
    'normal form C.';
grant execute on function payout.id_fits(text) to payout_app;
