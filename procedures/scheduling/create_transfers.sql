-- create_transfers: what a scheduled settlement owes, as transfers, progress and books.
--
-- One statement for all payees, so that a settlement of ten thousand costs
-- little more than its rows.

create or replace function payout.create_transfers(
    p_settlement payout.settlements, p_payout_job_id bigint, p_doorbell_ids bigint[]
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    with owed as (
        select
            l.payee_id,
            l.source_transaction,
            sum(l.amount_minor)::bigint as amount_minor,
            payout.payout_ref(p_settlement.settlement_id, l.payee_id, l.source_transaction)
                as payout_ref
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ), transfers as (
        insert into payout.payout_transfers (
            payout_job_id, settlement_id, payee_id, source_transaction, destination,
            amount_minor, currency, payout_ref, request)
        select
            p_payout_job_id, p_settlement.settlement_id, o.payee_id, o.source_transaction,
            a.stripe_account_id, o.amount_minor, p_settlement.currency, o.payout_ref,
            payout.transfer_request(
                o.payout_ref, p_settlement, o.payee_id, a.stripe_account_id,
                o.amount_minor, o.source_transaction)
        from owed as o
        cross join lateral (
            select pa.stripe_account_id
            from payout.payee_accounts as pa
            where pa.payee_id = o.payee_id
            order by pa.payee_account_id desc
            limit 1
        ) as a
        order by o.payee_id, o.source_transaction
        returning payout_transfer_id, payee_id, amount_minor, currency
    ), states as (
        -- The bells are shared out evenly; without any the sweep will ring.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, now()),
            p_doorbell_ids[1 + (row_number() over (order by t.payout_transfer_id) - 1)
                * cardinality(p_doorbell_ids) / count(*) over ()]
        from transfers as t
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select
        t.payout_transfer_id, e.kind, 1, e.debit_account, e.credit_account, t.amount_minor,
        t.currency
    from transfers as t
    cross join lateral (values
        ('obligation', 'settlement_funds', 'payable:' || t.payee_id),
        ('reserve', 'payable:' || t.payee_id, 'in_flight')
    ) as e (kind, debit_account, credit_account)
    order by t.payout_transfer_id, e.kind;
end
$$;
comment on function payout.create_transfers(payout.settlements, bigint, bigint[]) is
    'Writes the transfers of a settlement, their progress rows with their bells, and the books.';
