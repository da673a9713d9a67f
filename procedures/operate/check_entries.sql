-- check_entries: the ledger entries of a range of transfers that the books could not have made.
--
-- A trigger refuses movements that do not exist (tg_ledger_entries__check_movement). A transfer of
-- which more was reversed than closed is in open_reversals, or nobody sees that it is owed.

create or replace function payout.check_entries(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select w.rule, w.name || ' ' || w.id,
        'payout_api.hold(''engine'', …); find out who wrote it while the guards were off'
    from (
        select 'every entry is a movement that exists', 'entry', e.ledger_entry_id
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
                    ('reversal', 'stripe_balance', '*'),
                    ('cancel', 'in_flight', 'settlement_funds'),
                    ('cancel', '*', 'settlement_funds'),
                    ('settle_outside', 'in_flight', 'paid_outside'),
                    ('settle_outside', '*', 'paid_outside'),
                    ('write_off', '*', 'settlement_funds')))
        union all
        select 'every amount that is owed again is listed', 'transfer', e.payout_transfer_id
        from payout.ledger_entries as e
        where e.payout_transfer_id between p_from and p_to
            and e.kind in ('reversal', 'write_off')
            and not exists (
                select from payout.open_reversals as o
                where o.payout_transfer_id = e.payout_transfer_id
            )
        group by e.payout_transfer_id
        having sum(case e.kind when 'reversal' then e.amount_minor else -e.amount_minor end) > 0
    ) as w (rule, name, id)
$$;
comment on function payout.check_entries(bigint, bigint) is 'Part of payout_api.verify_books().';
