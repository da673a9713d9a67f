-- end_holds: release holds, and let the transfers that were marked with them be due again.
--
-- Called by: release_hold, resolve_paid, end_due_holds and others; all hold the locks on the
-- holds: a sweep that marks transfers was waited for, or passes them by. A row that breaks a rule
-- keeps its mark. A failed one that waited is looked up, for its next key.
-- Raises: SP401 not read committed.

create or replace function payout.end_holds(
    p_hold_ids bigint[], p_released_by text, p_reason text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_hold_ids = '{}' then
        return;
    end if;
    -- Only a snapshot taken after the lock shows every transfer that was marked under the hold.
    perform payout.refuse_old_snapshot('no hold is released');

    update payout.holds as h
    set released_at = payout.clock(),
        released_by = p_released_by,
        release_reason = p_reason
    where h.hold_id = any (p_hold_ids);

    update payout.transfer_states as s
    set hold_id = null,
        next_lookup_at = case
            when s.state = 'failed' and s.next_attempt_at is not null then payout.clock()
            else s.next_lookup_at
        end
    where s.hold_id = any (p_hold_ids)
        and payout.progress_problem(s) is null;

    insert into payout.operator_actions (action, subject, reason, details)
    select 'release', concat_ws(' ', h.scope, h.subject), p_reason,
        jsonb_build_object('hold_id', h.hold_id)
    from payout.holds as h
    where h.hold_id = any (p_hold_ids);
end
$$;
comment on function payout.end_holds(bigint[], text, text) is
    'Releases these holds with a reason, clears transfer_states.hold_id, notes it in '
    'operator_actions.';
