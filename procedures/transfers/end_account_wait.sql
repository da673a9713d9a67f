-- end_account_wait: end the wait of a payee for an account that takes transfers, at once.
--
-- Called by: an operator's act that says that the account takes them.
-- Locks: the hold's row, then the transfers that wait (end_holds).

create or replace function payout.end_account_wait(
    p_payee_id text, p_reason text default 'the account takes transfers'
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.end_holds(
        array(
            select h.hold_id
            from payout.holds as h
            where h.scope = 'payee'
                and h.subject = p_payee_id
                and h.awaits = 'account'
                and h.released_at is null
            for update),
        session_user, p_reason);
end
$$;
comment on function payout.end_account_wait(text, text) is
    'Lets all transfers of a payee go on that wait for its account; nothing if none do.';
