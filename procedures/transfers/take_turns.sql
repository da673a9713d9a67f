-- take_turns: hand out the next turns of a kind of request, one after the other in time.
--
-- The time of the next turn is a sequence, which no rollback takes back. It is read and set under a
-- lock that is given back at once, not at the commit, so that no turn is handed out twice and no
-- call waits for another one's transaction. Any login of the database could take that lock and keep
-- it: after a tenth of a second turns are handed out without, and may meet. Where others have taken
-- the turns of the next five seconds none is handed out to send. A lowered pace grows while its
-- turns are all used (raise_pace).
-- Locks: an advisory lock of the session, for the time of one statement.

create or replace function payout.take_turns(
    p_kind text,
    p_count integer,
    p_now timestamptz,
    out first_seconds double precision,
    out apart_seconds double precision
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_has_lock boolean := false;
    v_turns regclass := case p_kind when 'sends' then 'payout.send_turns'::regclass
        else 'payout.read_turns'::regclass end;
    v_now bigint := (extract(epoch from p_now) * 1e6)::bigint;
    v_taken bigint;
begin
    first_seconds := 0;
    apart_seconds := (
        select 1 / least(p.per_second, case p_kind
            when 'sends' then e.sends_per_second else e.reads_per_second end)::double precision
        from payout.engine_settings as e
        join payout.paces as p on p.kind = p_kind);
    if p_count = 0 or apart_seconds is null then
        apart_seconds := 0;
        return;
    end if;

    v_taken := (1e6 * p_count * apart_seconds)::bigint;
    begin
        for v_try in 1 .. 50 loop
            v_has_lock := pg_try_advisory_lock(hashtext('payout.take_turns'), hashtext(p_kind));
            exit when v_has_lock;
            perform pg_sleep(0.002);
        end loop;
        first_seconds := (
            select case
                when p_kind = 'reads' or t.first_at <= v_now + 5000000
                    then ((setval(v_turns, t.first_at + v_taken) - v_taken - v_now) / 1e6)
                        ::double precision
            end
            from (
                -- One that is a minute ahead was set by a clock that has since been set back.
                select case when l.at between v_now and v_now + 60000000 then l.at else v_now end
                from (select pg_sequence_last_value(v_turns)) as l (at)
            ) as t (first_at));
        perform pg_advisory_unlock(hashtext('payout.take_turns'), hashtext(p_kind))
        where v_has_lock;
    exception
        -- Whatever ends the statement gives the lock back: a session keeps it otherwise.
        when operator_intervention or insufficient_resources or object_not_in_prerequisite_state
            or transaction_rollback or data_exception or system_error or internal_error then
            perform pg_advisory_unlock(hashtext('payout.take_turns'), hashtext(p_kind))
            where v_has_lock;
            raise;
    end;
    if first_seconds > 0 then
        perform payout.raise_pace(p_kind, p_now);
    end if;
end
$$;
comment on function payout.take_turns(text, integer, timestamptz) is
    'Hands out so many turns: seconds from now to the first, and from each to the next; null: none '
    'is free.';
