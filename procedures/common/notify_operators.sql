-- notify_operators: notify operators of an alarm, over NOTIFY and in the server's log.
--
-- Called by: each function that raises an alarm; the caller stores the subject of it.
-- The warning reaches the server's log and the worker, which logs it at ERROR.

create or replace function payout.notify_operators(p_reason text, p_subject text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if payout.can_notify() then
        perform pg_notify('payout_alarms', p_reason);
    end if;
    raise warning 'payout alarm: %, %', p_reason, p_subject
        using hint = 'See payout.discrepancies and payout_api.unpaid.';
end
$$;
comment on function payout.notify_operators(text, text) is
    'Notifies channel payout_alarms of the reason, and warns with reason and subject.';
