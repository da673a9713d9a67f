-- change_stripe_account: pay from another Stripe account or mode from now on.
--
-- Called by: operator, when the platform moves, or for a copy that is to pay in test mode. Claims
-- are refused until the database is adopted again.
-- Safe to repeat: naming the account that is fixed changes nothing.
-- Locks: the row of settings; claims only at the commit (tg_engine_settings__check_account).
-- Raises: SP320 no account, mode or reason; SP401 not read committed; SP411
-- (refuse_unsafe_account_change); SP402 at the commit, if claims did not end in time.

create or replace function payout_api.change_stripe_account(
    p_stripe_account_id text, p_is_livemode boolean, p_reason text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old payout.engine_settings;
begin
    if coalesce(p_stripe_account_id !~ '^acct_[A-Za-z0-9_]+$', true) or p_is_livemode is null
        or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot change the Stripe account to % for reason %',
            payout.stripe_account_label(p_stripe_account_id, p_is_livemode),
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP320',
                hint = 'Name the account (acct_…), whether it is live mode, and a reason.';
    end if;

    -- Only a snapshot taken after the lock at the commit shows every claim from before it.
    perform payout.refuse_old_snapshot('the Stripe account is not changed');
    select * into strict v_old from payout.engine_settings for update;
    if (v_old.stripe_account_id, v_old.is_livemode) = (p_stripe_account_id, p_is_livemode) then
        return 'already';
    end if;

    perform payout.refuse_unsafe_account_change(v_old, p_is_livemode);
    update payout.engine_settings as e
    set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode;
    insert into payout.operator_actions (action, subject, reason, details)
    values ('change_stripe_account', p_stripe_account_id, p_reason, jsonb_build_object(
        'is_livemode', p_is_livemode, 'old_stripe_account_id', v_old.stripe_account_id,
        'old_is_livemode', v_old.is_livemode));
    if v_old.stripe_account_id is not null then
        insert into payout.adoptions (reason) values ('Stripe account changed: ' || p_reason);
    end if;
    return 'done';
end
$$;
comment on function payout_api.change_stripe_account(text, boolean, text) is
    'Fixes another Stripe account or mode, with a reason: done, or already; claims are refused '
    'until the database is adopted again.';
grant execute on function payout_api.change_stripe_account(text, boolean, text) to payout_operator;
