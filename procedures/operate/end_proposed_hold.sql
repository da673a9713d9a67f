-- end_proposed_hold: release the hold of an alarm, as two people want.
--
-- Safe to repeat: a hold that was released meanwhile stays as it is.
-- Raises: SP402 another alarm about its transfer came after the proposal.

create or replace function payout.end_proposed_hold(p_proposal payout.operator_actions)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold payout.holds;
begin
    select * into v_hold
    from payout.holds as h
    where h.hold_id = p_proposal.subject::bigint and h.released_at is null
    for update;
    if v_hold.scope = 'transfer' and exists (
        select from payout.discrepancies as d
        where d.payout_transfer_id = v_hold.subject::bigint
            and d.discrepancy_id > (p_proposal.details ->> 'newest_discrepancy_id')::bigint
    ) then
        raise exception 'hold %: another alarm came meanwhile', v_hold.hold_id
            using
                errcode = 'SP402',
                hint = 'Look at payout.discrepancies, then have the release proposed again.';
    end if;
    perform payout.end_holds(
        array_remove(array[v_hold.hold_id], null), session_user, p_proposal.reason);
end
$$;
comment on function payout.end_proposed_hold(payout.operator_actions) is
    'Releases the hold that is the subject of the proposal.';
