-- tg_transfer_states__move: let a transfer move only along payout.state_edges, as its state asks.
--
-- It fires whoever changes the state: an update typed into psql is held to the same rule as the
-- worker, and every way to be parked plans the look-up. A transfer that failed is looked for when
-- its next key is due. One that moves leaves the hold under which it was found. While the state
-- stays, the functions that judge a look-up move its time or clear it.
-- Raises: SP201 no such move.

create or replace function payout.tg_transfer_states__move()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (
        select from payout.state_edges as e
        where e.from_state = old.state
            and e.to_state = new.state
    ) then
        raise exception 'transfer cannot move from % to %', old.state, new.state
            using
                errcode = 'SP201',
                detail = format('Transfer %s is %s.', old.payout_transfer_id, old.state),
                hint = 'payout.state_edges lists the moves that exist.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'state';
    end if;
    new.next_lookup_at := case new.state
        when 'parked' then payout.clock()
        when 'failed' then new.next_attempt_at
    end;
    new.hold_id := null;
    return new;
end
$$;
comment on function payout.tg_transfer_states__move() is
    'Trigger: rejects a change of transfer_states.state that is not in payout.state_edges (SP201); '
    'sets next_lookup_at when a transfer becomes parked or fails, else clears it; clears hold_id.';
