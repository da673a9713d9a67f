-- tg_transfer_states__check_transition: let a transfer move only along payout.state_edges.
--
-- It fires for every update, so that one typed into psql is held to the same rule as the worker.
-- No column list on the trigger: `update of state` would miss a state set by another
-- before-trigger.
-- Raises: SP201 no such move.

create or replace function payout.tg_transfer_states__check_transition()
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
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_transition() is
    'Trigger: rejects a change of transfer_states.state that is not in payout.state_edges (SP201).';
