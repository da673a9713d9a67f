-- look_for_accounts: find transfers that wait for an account which their payee has by now.
--
-- An account that is registered while a settlement is being scheduled sees no transfer of it, and
-- is not seen by it. So each wait is looked at soon, then ever more rarely, down to once a day: an
-- account that none saw commits soon after the settlement, however long the payee waits for one.
-- Locks: rows of account_waits, skipping those that a registration has locked.

create or replace function payout.look_for_accounts(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := array(
        select w.payout_transfer_id
        from payout.account_waits as w
        where w.next_look_at <= p_now
        order by w.next_look_at
        limit p_limit
        for update skip locked);
begin
    if v_ids = '{}' then
        return;
    end if;
    perform payout.date_waiting_transfers(v_ids);
    update payout.account_waits as w
    set looks = w.looks + 1,
        next_look_at = p_now + interval '5 seconds' * 2 ^ least(w.looks, 14)
    where w.payout_transfer_id = any (v_ids) and w.next_look_at is not null;
end
$$;
comment on function payout.look_for_accounts(timestamptz, integer) is
    'Looks at up to p_limit transfers that are to be looked at, and gives those whose payee has an '
    'account their date.';
