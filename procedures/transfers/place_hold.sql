-- place_hold: stop sending for the engine, a worker, a currency, payee, settlement or transfer.
--
-- Safe to repeat: a subject that is on hold stays on hold, once for all alarms and once for any
-- other reason. A hold that would end sooner gives way: the longer one is meant.
-- Locks: the hold that is there already, so that it is not released before the caller that
-- relies on it commits; one that was released meanwhile is placed anew.

create or replace function payout.place_hold(
    p_scope text,
    p_subject text,
    p_reason text,
    p_discrepancy_id bigint default null,
    p_until timestamptz default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold_id bigint;
begin
    loop
        perform payout.end_holds(array(
            select h.hold_id
            from payout.holds as h
            where h.scope = p_scope
                and h.subject is not distinct from p_subject
                and p_discrepancy_id is null
                and h.discrepancy_id is null
                and h.awaits is null
                and h.expires_at < coalesce(p_until, 'infinity')
                and h.released_at is null
            for update), session_user, 'a longer hold takes its place');

        insert into payout.holds (scope, subject, reason, discrepancy_id, expires_at)
        values (p_scope, p_subject, p_reason, p_discrepancy_id, p_until)
        on conflict do nothing
        returning hold_id into v_hold_id;

        if found then
            insert into payout.operator_actions (action, subject, reason, details)
            values ('hold', concat_ws(' ', p_scope, p_subject), p_reason,
                jsonb_strip_nulls(jsonb_build_object('hold_id', v_hold_id, 'until', p_until)));
            exit;
        end if;

        select h.hold_id into v_hold_id
        from payout.holds as h
        where h.scope = p_scope
            and h.subject is not distinct from p_subject
            and (h.discrepancy_id is null) = (p_discrepancy_id is null)
            and h.awaits is null
            and h.released_at is null
        for share;
        exit when found;
    end loop;
    return v_hold_id;
end
$$;
comment on function payout.place_hold(text, text, text, bigint, timestamptz) is
    'Places a hold unless there is one, for an alarm or another reason, notes it in '
    'operator_actions, returns its hold_id.';
