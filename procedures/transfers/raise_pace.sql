-- raise_pace: let a pace that was lowered grow, while all its turns are used.
--
-- It is doubled in ten seconds until Stripe refuses it: then the limit is known. It comes back to
-- 95 % of that in some five seconds and stays there for a minute after the refusal, so that few
-- requests are refused; then the limit may be another one, and it grows again. Above 5,000 a second
-- there is no pace.
-- Locks: the pace, unless another session has locked it.

create or replace function payout.raise_pace(p_kind text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    with old as (
        select p.per_second, p.refused_per_second, p.refused_at,
            round(0.95 * p.refused_per_second, 6) as below_refused,
            greatest(least(extract(epoch from p_now - p.grown_at), 1), 0) as seconds
        from payout.paces as p
        where p.kind = p_kind
            and p.per_second is not null
            and p.grown_at not between p_now - interval '0.2 seconds' and p_now
        for update skip locked
    ), grown as (
        select o.refused_per_second, round(case
            when o.per_second < o.below_refused
                then least(o.per_second * 2 ^ (o.seconds / 5), o.below_refused)
            when o.refused_per_second is not null
                and o.refused_at between p_now - interval '1 minute' and p_now then o.per_second
            else o.per_second * 2 ^ (o.seconds / 10)
        end, 6) as per_second
        from old as o
    )
    update payout.paces as p
    set per_second = case when g.per_second <= 5000 then g.per_second end,
        refused_per_second = case
            when g.per_second <= 1.1 * g.refused_per_second then g.refused_per_second end,
        grown_at = p_now
    from grown as g
    where p.kind = p_kind;
end
$$;
comment on function payout.raise_pace(text, timestamptz) is
    'Raises a lowered pace by the time since it was raised last, a second at most.';
