-- broken_entries: ledger entries of a range of transfers that are no movement that exists.
--
-- Called by: check_rules. A trigger refuses them (tg_ledger_entries__check_movement).

create or replace function payout.broken_entries(p_from bigint, p_to bigint)
returns setof bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select e.ledger_entry_id
    from payout.ledger_entries as e
    where e.payout_transfer_id between p_from and p_to
        and (e.amount_minor <= 0 or (e.kind = 'obligation' and e.generation <> 1)
            or (e.kind = 'reversal') <> (e.stripe_reversal_id is not null)
            or (e.kind in ('cancel', 'settle_outside', 'write_off'))
                <> (e.operator_action_id is not null)
            or (
                e.kind,
                case when e.debit_account like 'payable:_%' then '*' else e.debit_account end,
                case when e.credit_account like 'payable:_%' then '*' else e.credit_account end
            ) not in (
                ('obligation', 'settlement_funds', '*'), ('reserve', '*', 'in_flight'),
                ('paid', 'in_flight', 'stripe_balance'), ('release', 'in_flight', '*'),
                ('reversal', 'stripe_balance', '*'), ('cancel', 'in_flight', 'settlement_funds'),
                ('cancel', '*', 'settlement_funds'),
                ('settle_outside', 'in_flight', 'paid_outside'),
                ('settle_outside', '*', 'paid_outside'), ('write_off', '*', 'settlement_funds')))
$$;
comment on function payout.broken_entries(bigint, bigint) is
    'Numbers of entries whose amount, accounts, reversal or act do not go with their kind.';
