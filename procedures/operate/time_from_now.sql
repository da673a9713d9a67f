-- time_from_now: a time as people read it who ask how long ago it was, or how soon it will be.
--
-- Called by: operators, over columns that end in _at; sql/ops/psqlrc.

create or replace function payout_api.time_from_now(p_at timestamptz)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format(
        case
            when s.seconds is null or not isfinite(p_at) then '%1$s'
            when abs(s.seconds) < 1 then 'now'
            when p_at < now() then '%2$s ago'
            else 'in %2$s'
        end,
        p_at,
        case
            when abs(s.seconds) < 120 then floor(abs(s.seconds)) || ' s'
            when abs(s.seconds) < 7200 then floor(abs(s.seconds) / 60) || ' min'
            when abs(s.seconds) < 172800 then floor(abs(s.seconds) / 3600) || ' h'
            else floor(abs(s.seconds) / 86400) || ' d'
        end)
    from (select case when isfinite(p_at) then extract(epoch from p_at - now()) end) as s (seconds)
    where p_at is not null
$$;
comment on function payout_api.time_from_now(timestamptz) is
    'The time in seconds, minutes, hours or days from now: 3 h ago, in 5 min; null for none.';
grant execute on function payout_api.time_from_now(timestamptz)
    to payout_operator, payout_approver, payout_auditor;
