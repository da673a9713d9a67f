-- register_payee: register a payee and the Stripe account that it is paid to.
--
-- Called by: the application, as often as it likes.
-- Safe to repeat: the same account again writes nothing.
-- Locks: the payee's row, so that two changes at once have an order; not its key, so that
-- settlements of the payee do not wait. Then the payee's waits (change_of_account).
-- Raises: 23514 an id or account that cannot be one.

create or replace function payout_api.register_payee(
    p_payee_id text, p_stripe_account_id text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_current text;
begin
    insert into payout.payees (payee_id)
    values (p_payee_id)
    on conflict (payee_id) do nothing;

    if p_stripe_account_id is null then
        return;
    end if;

    perform
    from payout.payees as p
    where p.payee_id = p_payee_id
    for no key update;

    select a.stripe_account_id into v_current
    from payout.payee_accounts as a
    where a.payee_id = p_payee_id
    order by a.payee_account_id desc
    limit 1;

    if v_current is distinct from p_stripe_account_id then
        insert into payout.payee_accounts (payee_id, stripe_account_id)
        values (p_payee_id, p_stripe_account_id);
        if v_current is not null then
            perform payout.change_of_account(p_payee_id);
        end if;
    end if;
end
$$;
comment on function payout_api.register_payee(text, text) is
    'Registers a payee; with an account, records it as the one to pay from now on. Repeatable; '
    'a transfer that was claimed keeps its account under its key.';
revoke execute on function payout_api.register_payee(text, text) from public;
grant execute on function payout_api.register_payee(text, text) to payout_app, payout_operator;
