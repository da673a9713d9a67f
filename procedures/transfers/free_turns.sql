-- free_turns: the number of requests that may be handed out now.
--
-- Turns are handed out half a second ahead, so that a worker asks again before it has none left.
-- One is handed out up to five seconds ahead: a worker that has one knows when to ask again, and a
-- send may begin ten seconds after its claim. It only looks: take_turns counts.

create or replace function payout.free_turns(p_kind text, p_now timestamptz)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when m.per_second is null then null
        when n.ahead > 5 then 0
        else 1 + floor(greatest(0.5 - n.ahead, 0) * m.per_second)::integer
    end
    from payout.paces as p
    cross join lateral payout.most_per_second(p) as m (per_second)
    cross join lateral (
        select extract(epoch from payout.next_turn(p_kind, p_now) - p_now)::double precision
    ) as n (ahead)
    where p.kind = p_kind
$$;
comment on function payout.free_turns(text, timestamptz) is
    'How many turns of a kind are free; null: any number.';
