-- lock_complete_settlement: lock a settlement that is to be scheduled without being written.
--
-- The row is written as it is, so that a transaction with an older snapshot, which would see no
-- job, fails at its next write of the row (40001).
-- Raises: SP310 unknown settlement; SP202 still pending.

create or replace function payout.lock_complete_settlement(p_settlement_id text)
returns payout.settlements
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
begin
    update payout.settlements as s
    set state = s.state
    where s.settlement_id = p_settlement_id
    returning * into v_settlement;

    if not found then
        raise exception 'settlement % does not exist', p_settlement_id
            using errcode = 'SP310';
    end if;
    if v_settlement.state <> 'complete' then
        raise exception 'settlement % is still pending', p_settlement_id
            using
                errcode = 'SP202',
                hint = 'Set its state to complete; that schedules its payouts.';
    end if;
    return v_settlement;
end
$$;
comment on function payout.lock_complete_settlement(text) is
    'Returns the row of a complete settlement, which no other transaction then changes or '
    'schedules.';
