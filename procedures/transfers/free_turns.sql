-- free_turns: the number of requests to send that may be handed out now.
--
-- Turns are handed out a quarter of a second ahead: a worker asks again before it has none left,
-- and few requests are on their way when Stripe refuses one. One is handed out up to five seconds
-- ahead: a worker that has one knows when to ask again, and a send may begin ten seconds after its
-- claim. It only looks: take_turns counts.

create or replace function payout.free_turns(p_now timestamptz)
returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_per_second double precision := (
        select least(p.per_second, e.sends_per_second)::double precision
        from payout.engine_settings as e
        join payout.paces as p on p.kind = 'sends');
    v_ahead double precision;
begin
    if v_per_second is null then
        return null;
    end if;
    -- One that is a minute ahead was set by a clock that has since been set back.
    v_ahead := (
        select case when a.ahead between 0 and 60 then a.ahead else 0 end
        from (
            select (pg_sequence_last_value('payout.send_turns'::regclass) / 1e6
                - extract(epoch from p_now))::double precision
        ) as a (ahead));
    return case when v_ahead > 5 then 0
        else 1 + floor(greatest(0.25 - v_ahead, 0) * v_per_second)::integer end;
end
$$;
comment on function payout.free_turns(timestamptz) is
    'How many turns to send are free; null: any number.';
