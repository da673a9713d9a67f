-- report_edit: tell operators that an application's rows differ by now from a settlement.
--
-- Called by: the application, or a trigger on a table that it already has (docs/attach.md), after
-- an edit. It fails for no content, and waits for no lock: the settlement stays as it is.
-- Safe to repeat: the same difference is recorded once, also after an operator has resolved it. A
-- later edit takes the place of the earlier one; rows that agree again resolve it.

create or replace function payout_api.report_edit(
    p_settlement_id text, p_currency text, p_lines jsonb
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_settlement payout.settlements;
    v_ours jsonb;
    v_theirs jsonb;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id and s.state = 'complete';
    if not found then
        return null;
    end if;

    select e.ours, e.theirs into strict v_ours, v_theirs
    from payout.edited_content(v_settlement, p_currency, p_lines) as e;
    perform payout.replace_edit(v_ours, v_theirs);
    return v_ours = v_theirs;
end
$$;
comment on function payout_api.report_edit(text, text, jsonb) is
    'Compares currency and lines, as complete_settlement takes them, with a complete settlement: '
    'true if they agree, false if not, which is then a discrepancy settlement_edited; null if '
    'there is no such settlement. Changes no settlement and raises nothing.';
grant execute on function payout_api.report_edit(text, text, jsonb) to payout_app;
