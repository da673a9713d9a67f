-- tg_engine_settings__record_change: each change of a setting is on record, whoever makes it.
--
-- change_setting hands its reason over in payout.reason.

create or replace function payout.tg_engine_settings__record_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
begin
    insert into payout.operator_actions (action, subject, reason, details)
    select 'change_setting', n.key,
        coalesce(nullif(current_setting('payout.reason', true), ''), 'engine_settings was updated'),
        jsonb_build_object('old', o.value, 'new', n.value)
    from jsonb_each(to_jsonb(old)) as o
    join jsonb_each(to_jsonb(new)) as n on n.key = o.key
    where n.value <> o.value
    order by n.key;
    return null;
end
$$;
comment on function payout.tg_engine_settings__record_change() is
    'Trigger: writes the old and the new value of each changed setting into operator_actions.';
