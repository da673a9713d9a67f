-- warn_of_former_accounts: warn of transfers on hold whose key was used with another account.
--
-- Called by: release_hold. The request under a key does not change: they go on to the account that
-- the payee had at the first send.

create or replace function payout.warn_of_former_accounts(p_hold payout.holds)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_moved bigint;
begin
    v_moved := (
        select count(*)
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        join payout.transfer_requests as r
            on r.payout_transfer_id = s.payout_transfer_id and r.generation = s.generation
        where s.state in ('retry_wait', 'unknown', 'parked')
            and p_hold.subject = case p_hold.scope
                when 'payee' then t.payee_id
                when 'settlement' then t.settlement_id
                when 'transfer' then t.payout_transfer_id::text
            end
            and r.destination <> (
                select a.stripe_account_id
                from payout.payee_accounts as a
                where a.payee_id = t.payee_id
                order by a.payee_account_id desc
                limit 1));
    if v_moved > 0 then
        raise warning '% transfers under hold % go on to an account that is no longer the payee''s',
            v_moved, p_hold.hold_id
            using hint = 'Their key was used with it. park has them looked up first: only a new '
                'key takes the present account.';
    end if;
end
$$;
comment on function payout.warn_of_former_accounts(payout.holds) is
    'WARNING with their number, if the hold has a payee, settlement or transfer for its subject.';
