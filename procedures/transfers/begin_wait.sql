-- begin_wait: let a currency, a payee or a transfer wait for what comes by itself.
--
-- A wait is a hold that the engine places and ends. It stops only transfers that were not sent
-- under their key yet: a key that was used is asked about further. Operators are notified once,
-- however many transfers wait.
-- Safe to repeat: a wait that goes on stays as it is.
-- Locks: the wait that is there already, so that it does not end before the caller that marks a
-- transfer with it commits; where another session has it, which may end it, the caller waits for
-- nothing: that session may wait for the caller's transfers.

create or replace function payout.begin_wait(
    p_scope text,
    p_subject text,
    p_reason text,
    p_awaits text,
    p_goes_on_at timestamptz,
    p_notifies boolean
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold_id bigint;
begin
    insert into payout.holds (scope, subject, reason, awaits, goes_on_at)
    values (p_scope, p_subject, p_reason, p_awaits, p_goes_on_at)
    on conflict do nothing
    returning hold_id into v_hold_id;

    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('hold', concat_ws(' ', p_scope, p_subject), p_reason,
            jsonb_build_object('hold_id', v_hold_id, 'awaits', p_awaits));
        if p_notifies then
            perform payout.notify_operators(p_reason, concat_ws(' ', p_scope, p_subject),
                jsonb_build_object('hold_id', v_hold_id));
        end if;
        return v_hold_id;
    end if;

    return (
        select h.hold_id
        from payout.holds as h
        where h.scope = p_scope
            and h.subject = p_subject
            and h.awaits = p_awaits
            and h.released_at is null
        for share skip locked);
end
$$;
comment on function payout.begin_wait(text, text, text, text, timestamptz, boolean) is
    'Places a wait unless there is one, notes it in operator_actions, returns its hold_id; null: '
    'it ends this moment, or may.';
