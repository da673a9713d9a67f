-- create_transfers: write the transfers of a scheduled settlement, their progress and books.
--
-- One statement for all payees, so that a settlement of ten thousand costs little more than its
-- rows. Transfers that cannot be paid as they stand are left out; lines and transfers are added
-- up in one look, since a later look may find others.

create or replace function payout.create_transfers(
    p_settlement payout.settlements, p_payout_job_id bigint
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_made_minor bigint;
begin
    with owed as materialized (
        select * from payout.owed_transfers(p_settlement)
    ), wakeups as materialized (
        select payout.queue_wakeup(
            p_payout_job_id, (select count(*)::integer from owed), p_settlement.pay_after) as ids
    ), transfers as (
        insert into payout.payout_transfers (
            payout_job_id, settlement_id, payee_id, source_transaction, amount_minor, currency)
        select
            p_payout_job_id, p_settlement.settlement_id, o.payee_id, o.source_transaction,
            o.amount_minor, p_settlement.currency
        from owed as o
        returning payout_transfer_id, payee_id, amount_minor, currency
    ), states as (
        -- The wake-up jobs are shared out evenly; without any the sweep queues some.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, wakeup_id)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, current_timestamp),
            w.ids[1 + (row_number() over (order by t.payout_transfer_id) - 1)
                * cardinality(w.ids) / count(*) over ()]
        from transfers as t
        cross join wakeups as w
    ), entries as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency)
        select
            t.payout_transfer_id, e.kind, 1, e.debit_account, e.credit_account, t.amount_minor,
            t.currency
        from transfers as t
        cross join lateral (values
            ('obligation', 'settlement_funds', 'payable:' || t.payee_id),
            ('reserve', 'payable:' || t.payee_id, 'in_flight')
        ) as e (kind, debit_account, credit_account)
        order by t.payout_transfer_id, e.kind
    )
    select sum(t.amount_minor)::bigint into v_made_minor
    from transfers as t
    having sum(t.amount_minor) = (
        select sum(l.amount_minor)
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id);
    return v_made_minor;
end
$$;
comment on function payout.create_transfers(payout.settlements, bigint) is
    'Writes the transfers of a settlement, their progress rows with their wake-up jobs, and the '
    'books; returns the sum of their amounts, null unless the lines add up to it.';
