-- next_turn: the time of the first turn of a kind of request that is not handed out yet.
--
-- One that is a minute ahead was set by a clock that has since been set back.

create or replace function payout.next_turn(p_kind text, p_now timestamptz)
returns timestamptz
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_at timestamptz := to_timestamp(pg_sequence_last_value(case p_kind
        when 'sends' then 'payout.send_turns'::regclass
        else 'payout.read_turns'::regclass end) / 1e6);
begin
    return case when v_at between p_now and p_now + interval '1 minute' then v_at else p_now end;
end
$$;
comment on function payout.next_turn(text, timestamptz) is
    'A time from p_now on; p_now: a turn is free at once.';
