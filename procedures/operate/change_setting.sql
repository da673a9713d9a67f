-- change_setting: change one of the engine's numbers, with a reason.
--
-- Called by: operator. The checks of engine_settings refuse values that break a rule of safety,
-- alone or together.
-- Safe to repeat. Locks: the row of settings.
-- Raises: SP314 no such setting, no reason, or a value that cannot be read; 23514 with the name of
-- the rule that the value breaks.

create or replace function payout_api.change_setting(p_name text, p_value text, p_reason text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
    v_type text;
begin
    select format_type(a.atttypid, a.atttypmod) into v_type
    from pg_attribute as a
    where a.attrelid = 'payout.engine_settings'::regclass
        and a.attname = p_name
        and a.attnum > 0
        and not a.attisdropped
        and a.attname not in (
            'is_single_row', 'installation_id', 'stripe_account_id', 'is_livemode')
        and (p_value is not null or not a.attnotnull);
    if v_type is null or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot set % to % for reason %', coalesce(p_name, 'null'),
            coalesce(p_value, 'null'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP314',
                hint = 'Columns of payout.engine_settings can be set, save the installation and '
                    'the Stripe account (change_stripe_account); give a value and a reason.';
    end if;

    begin
        select * into strict v_settings from payout.engine_settings for update;
        v_settings := jsonb_populate_record(v_settings, jsonb_build_object(p_name, p_value));
    exception
        when data_exception then
            raise exception '% is no %, as % must be', quote_literal(p_value), v_type, p_name
                using errcode = 'SP314', hint = 'For example: 15 minutes; 100000.';
    end;
    perform set_config('payout.reason', p_reason, true);
    update payout.engine_settings as e
    set (lease_for, http_deadline_for, send_window_for, attempt_drain_for, max_tries,
            max_generations, largest_claim, transfers_per_wakeup, queue_wakeup_again_after,
            indeterminate_for, scans_apart_for, approval_limit_minor, proposals_expire_after,
            max_alarms, alarm_window_for, comparison_counts_for, sends_per_second,
            reads_per_second, account_change_waits_for)
        = (v_settings.lease_for, v_settings.http_deadline_for, v_settings.send_window_for,
            v_settings.attempt_drain_for, v_settings.max_tries, v_settings.max_generations,
            v_settings.largest_claim, v_settings.transfers_per_wakeup,
            v_settings.queue_wakeup_again_after, v_settings.indeterminate_for,
            v_settings.scans_apart_for, v_settings.approval_limit_minor,
            v_settings.proposals_expire_after, v_settings.max_alarms,
            v_settings.alarm_window_for, v_settings.comparison_counts_for,
            v_settings.sends_per_second, v_settings.reads_per_second,
            v_settings.account_change_waits_for);
    perform set_config('payout.reason', '', true);
    return to_jsonb(v_settings) ->> p_name;
end
$$;
comment on function payout_api.change_setting(text, text, text) is
    'Sets a column of payout.engine_settings; returns its new value. Both values are in '
    'operator_actions.';
grant execute on function payout_api.change_setting(text, text, text) to payout_operator;
