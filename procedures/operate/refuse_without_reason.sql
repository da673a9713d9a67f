-- refuse_without_reason: refuse an act that does not say why.
--
-- Raises: SP314 no reason.

create or replace function payout.refuse_without_reason(p_verb text, p_reason text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot % without a reason', replace(p_verb, '_', ' ')
            using
                errcode = 'SP314',
                hint = 'Say why: p_reason is kept with the act.';
    end if;
end
$$;
comment on function payout.refuse_without_reason(text, text) is
    'Raises SP314 if the reason is null or blank.';
