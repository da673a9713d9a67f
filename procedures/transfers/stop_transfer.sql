-- stop_transfer: hold a transfer for an alarm, and the engine once there are many alarms.
--
-- Alarms from before an operator last released such a hold of the engine do not count.

create or replace function payout.stop_transfer(
    p_payout_transfer_id bigint, p_reason text, p_discrepancy_id bigint
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
    v_alarms integer;
begin
    perform payout.place_hold(
        'transfer', p_payout_transfer_id::text, p_reason, p_discrepancy_id);

    select * into strict v_settings from payout.engine_settings;
    v_alarms := (
        select count(*)::integer
        from payout.holds as h
        where h.discrepancy_id is not null
            and h.scope = 'transfer'
            and h.placed_at > greatest(payout.clock() - v_settings.alarm_window_for, (
                select max(e.released_at)
                from payout.holds as e
                where e.discrepancy_id is not null and e.scope = 'engine')));
    if v_alarms >= v_settings.max_alarms then
        perform payout.place_hold('engine', null, format(
            '%s alarms within %s: find their common cause in payout_api.discrepancies first',
            v_settings.max_alarms, v_settings.alarm_window_for), p_discrepancy_id);
    end if;
end
$$;
comment on function payout.stop_transfer(bigint, text, bigint) is
    'Places the hold of an alarm on a transfer; engine_settings says how many alarms hold the '
    'engine.';
