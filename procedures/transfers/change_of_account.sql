-- change_of_account: what follows for a payee whose Stripe account was changed.
--
-- A payee that waits because the former account took no transfers is tried at once, by the next
-- sweep.
-- Where changes of accounts have to wait, nothing new goes to the payee for that time, which begins
-- anew with each change.
-- Called by: register_payee, which holds the lock of the payee.
-- Locks: the waits of the payee; a sweep that holds them is short.

create or replace function payout.change_of_account(p_payee_id text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_waits_for interval := (
        select e.account_change_waits_for from payout.engine_settings as e);
begin
    update payout.holds as h
    set goes_on_at = payout.clock(),
        probes = 0
    where h.scope = 'payee'
        and h.subject = p_payee_id
        and h.awaits = 'account'
        and h.released_at is null;

    if v_waits_for > '0' then
        -- The wait of the change before may end between the two.
        loop
            perform payout.begin_wait(
                'payee', p_payee_id, 'account_was_changed', 'account_change', null, false);
            update payout.holds as h
            set goes_on_at = payout.clock() + v_waits_for
            where h.scope = 'payee'
                and h.subject = p_payee_id
                and h.awaits = 'account_change'
                and h.released_at is null;
            exit when found;
        end loop;
    end if;
end
$$;
comment on function payout.change_of_account(text) is
    'Has a payee that waits for its account tried at once, and lets new transfers wait for '
    'engine_settings.account_change_waits_for.';
