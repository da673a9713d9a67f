-- release_or_propose: release a hold, or propose it where its alarm is open.
--
-- The proposal names the newest alarm that was known: it stands for no later one.

create or replace function payout.release_or_propose(p_hold payout.holds, p_reason text)
returns payout.holds
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold payout.holds;
begin
    if exists (
        select from payout.discrepancies as d
        where d.discrepancy_id = p_hold.discrepancy_id and d.resolved_at is null
    ) then
        perform payout.propose('release_hold', p_hold.hold_id::text, p_reason, (
            select jsonb_build_object('newest_discrepancy_id', max(d.discrepancy_id))
            from payout.discrepancies as d
            where p_hold.scope <> 'transfer'
                or d.payout_transfer_id = p_hold.subject::bigint));
    else
        perform payout.end_holds(array[p_hold.hold_id], session_user, p_reason);
    end if;
    select * into v_hold from payout.holds as h where h.hold_id = p_hold.hold_id;
    return v_hold;
end
$$;
comment on function payout.release_or_propose(payout.holds, text) is
    'Returns the hold as it is then: it stays until another person approves.';
