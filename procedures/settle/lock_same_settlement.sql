-- lock_same_settlement: lock a settlement that was recorded before, if it has the same content.
--
-- Locks: the settlement's row.
-- Raises: SP307 other content than before; SP402 deleted meanwhile.

create or replace function payout.lock_same_settlement(
    p_settlement_id text,
    p_currency text,
    p_lines jsonb,
    p_pay_after timestamptz,
    p_metadata jsonb
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
    v_difference text;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;
    if not found then
        raise exception 'settlement % was deleted meanwhile', p_settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction.';
    end if;

    v_difference := payout.settlement_difference(
        v_settlement, p_currency, p_lines, p_pay_after, p_metadata);
    if v_difference <> '' then
        raise exception 'settlement % exists with other content: %', p_settlement_id, v_difference
            using
                errcode = 'SP307',
                detail = format('The settlement is %s.', v_settlement.state),
                hint = 'Repeat a settlement unchanged, or give another one its own id.';
    end if;
end
$$;
comment on function payout.lock_same_settlement(text, text, jsonb, timestamptz, jsonb) is
    'Locks the row of a settlement; refuses another currency, lines, pay_after or metadata than it '
    'has (SP307).';
