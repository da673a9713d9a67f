-- release_hold: end a hold, so that its transfers are sent again.
--
-- Called by: operator.
-- Safe to repeat: releasing a released hold changes nothing.
-- Locks: the hold's row; it waits for transactions that rely on the hold and are not over.
-- Raises: SP310 unknown hold; SP313 no reason; SP401 not read committed; SP402 an alarm about the
-- transfer came while it waited.

create or replace function payout_api.release_hold(p_hold_id bigint, p_reason text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The operator can have seen the alarms about these at most.
    v_ids bigint[] := array(
        select h.subject::bigint
        from payout.holds as h
        where h.hold_id = p_hold_id and h.scope = 'transfer');
    v_known jsonb := payout.known_of('release_hold', v_ids);
    v_hold payout.holds;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot release hold % without a reason', p_hold_id
            using
                errcode = 'SP313',
                hint = 'Give the reason why sending is safe again.';
    end if;

    select * into v_hold
    from payout.holds as h
    where h.hold_id = p_hold_id
    for update;
    if not found then
        raise exception 'hold % does not exist', p_hold_id
            using
                errcode = 'SP310',
                hint = 'select * from payout.holds where released_at is null';
    elsif v_hold.released_at is not null then
        return 'already';
    elsif v_known <> payout.known_of('release_hold', v_ids) then
        raise exception 'hold %: another alarm came meanwhile', p_hold_id
            using
                errcode = 'SP402',
                hint = 'Look at payout.discrepancies, then release it again.';
    end if;

    perform payout.warn_of_former_accounts(v_hold);
    if exists (
        select from payout.discrepancies as d
        where d.resolved_at is null
            and (d.discrepancy_id = v_hold.discrepancy_id
                -- A transfer has one such hold, however many alarms there are about it.
                or (v_hold.discrepancy_id is not null and d.payout_transfer_id = any (v_ids)))
    ) then
        perform payout.propose('release_hold', p_reason, v_ids, p_subject => p_hold_id::text);
        return 'proposed';
    end if;
    perform payout.end_holds(array[p_hold_id], session_user, p_reason);
    return 'done';
end
$$;
comment on function payout_api.release_hold(bigint, text) is
    'Releases a hold with a reason; the sweep then queues wake-up jobs for due transfers. Done; '
    'already; or proposed: the hold of an open alarm stays until another person approves.';
grant execute on function payout_api.release_hold(bigint, text) to payout_operator;
