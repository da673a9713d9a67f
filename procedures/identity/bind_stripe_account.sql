-- bind_stripe_account: keep one database to one Stripe account, in one mode.
--
-- Another account knows none of our keys and would execute them all once more.
-- Raises: SP404 another account or mode than the fixed one, or none.

create or replace function payout.bind_stripe_account(
    p_stripe_account_id text, p_is_livemode boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
begin
    select * into strict v_settings from payout.engine_settings;

    if v_settings.stripe_account_id is null and p_stripe_account_id is not null
        and p_is_livemode = coalesce(v_settings.is_livemode, p_is_livemode) then
        update payout.engine_settings as e
        set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode
        where e.stripe_account_id is null;
        if found then
            insert into payout.operator_actions (action, subject, reason, details)
            values ('fix_stripe_account', p_stripe_account_id,
                'the engine: no account was named before',
                jsonb_build_object('is_livemode', p_is_livemode));
        end if;
        -- Another session may have been first.
        select * into strict v_settings from payout.engine_settings;
    end if;

    if v_settings.stripe_account_id is distinct from p_stripe_account_id
        or (p_stripe_account_id is not null
            and v_settings.is_livemode is distinct from p_is_livemode) then
        raise exception 'this database does not pay from %',
            payout.stripe_account_label(p_stripe_account_id, p_is_livemode)
            using
                errcode = 'SP404',
                detail = format('It pays from %s.', payout.stripe_account_label(
                    v_settings.stripe_account_id, v_settings.is_livemode)),
                hint = 'Give the worker a key of that account and mode; if the platform has moved, '
                    'see payout_api.change_stripe_account.';
    end if;
end
$$;
comment on function payout.bind_stripe_account(text, boolean) is
    'Fixes the first Stripe account and mode that a caller names; refuses every other (SP404).';
