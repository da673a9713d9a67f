-- notify_operators: notify operators of an alarm, over NOTIFY and with a warning.
--
-- Called by: each function that raises an alarm; the caller stores the subject of it.
-- The warning reaches the server's log and the worker, which logs it at ERROR and hands its DETAIL
-- on (PAYOUT_ALARM_COMMAND). An alarm never fails for its length: NOTIFY takes 8,000 bytes.

create or replace function payout.notify_operators(
    p_reason text, p_subject text, p_ids jsonb default '{}'
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_alarm jsonb := jsonb_build_object('alarm', p_reason, 'subject', left(p_subject, 500));
begin
    if octet_length(p_ids::text) < 4000 then
        v_alarm := p_ids || v_alarm;
    end if;
    if payout.can_notify() then
        perform pg_notify('payout_alarms', v_alarm::text);
    end if;
    raise warning 'payout alarm: %, %', p_reason, p_subject
        using
            detail = v_alarm::text,
            hint = 'See payout.discrepancies and payout_api.unpaid.';
end
$$;
comment on function payout.notify_operators(text, text, jsonb) is
    'Notifies channel payout_alarms of the alarm as JSON: alarm, subject and p_ids; warns with '
    'reason and subject.';
