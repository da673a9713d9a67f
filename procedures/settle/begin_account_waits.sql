-- begin_account_waits: note the transfers of a settlement that wait for an account, and tell so.
--
-- Apart from create_transfers, since nearly no settlement has any.

create or replace function payout.begin_account_waits(p_settlement_id text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    with waiting as (
        insert into payout.account_waits (payout_transfer_id, payee_id)
        select t.payout_transfer_id, t.payee_id
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where t.settlement_id = p_settlement_id and s.reason = 'awaiting_account'
        returning payout_transfer_id
    )
    insert into payout.outcomes (payout_transfer_id, status, reason)
    select w.payout_transfer_id, 'waiting_for_account', 'awaiting_account'
    from waiting as w
    order by w.payout_transfer_id;
    perform payout.notify_application();
end
$$;
comment on function payout.begin_account_waits(text) is
    'Writes a row of account_waits, and an outcome, for each transfer of the settlement without a '
    'date.';
