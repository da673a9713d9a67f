-- register_payee: register a payee and the Stripe account that it is paid to.
--
-- Called by: the application, as often as it likes. Transfers of a settlement that is being
-- scheduled at this moment are not seen: the sweep finds them (look_for_accounts), so that neither
-- waits for the other.
-- Safe to repeat: the same account again writes nothing.
-- Locks: the payee's row, so that two changes at once have an order; not its key, so that
-- settlements of the payee do not wait; the payee's rows of account_waits, and its waits
-- (change_of_account).
-- Raises: 23514 an id or account that cannot be one.

create or replace function payout_api.register_payee(
    p_payee_id text, p_stripe_account_id text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    v_current text;
    v_waiting_ids bigint[];
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

    v_waiting_ids := array(
        select w.payout_transfer_id
        from payout.account_waits as w
        where w.payee_id = p_payee_id and w.next_look_at is not null
        order by w.payout_transfer_id
        for update);
    if v_waiting_ids <> '{}' then
        perform payout.wake_up_for(payout.date_waiting_transfers(v_waiting_ids));
    end if;
end
$$;
comment on function payout_api.register_payee(text, text) is
    'Registers a payee; with an account, records it as the one to pay from now on, and lets '
    'transfers that waited for it go out. Repeatable; a transfer that was claimed keeps its '
    'account under its key.';
grant execute on function payout_api.register_payee(text, text) to payout_app, payout_operator;
