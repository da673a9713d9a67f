-- tg_caps__record_change: each change of a cap is on record, whoever makes it.

create or replace function payout.tg_caps__record_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.operator_actions (action, subject, reason, details)
    values ('change_cap', concat_ws(' ', new.scope, new.currency),
        coalesce(nullif(current_setting('payout.reason', true), ''), 'caps was updated'),
        jsonb_build_object('old', to_jsonb(old), 'new', to_jsonb(new)));
    return null;
end
$$;
comment on function payout.tg_caps__record_change() is
    'Trigger: writes the old and the new cap into operator_actions.';
