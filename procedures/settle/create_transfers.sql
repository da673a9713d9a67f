-- create_transfers: make the payout job of a settlement, with its transfers and their books.
--
-- One statement for all payees, so that a settlement of ten thousand costs little more than its
-- rows. Transfers that cannot be paid as they stand are left out; lines and transfers are added
-- up in one look, since a later look may find others. Only if the sum is wrong is the reason
-- looked for. A transfer to a payee without an account has no date yet.
-- Called by: schedule_payout_job, whose transaction has written the settlement's row.
-- Safe to repeat: a settlement that has its job keeps it.
-- Raises: as refuse_settlement.

create or replace function payout.create_transfers(p_settlement payout.settlements)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_job_id bigint;
    v_made_minor bigint;
    v_waits boolean;
begin
    insert into payout.payout_jobs (settlement_id) values (p_settlement.settlement_id)
    on conflict do nothing
    returning payout_job_id into v_payout_job_id;
    if not found then
        return (select j.payout_job_id from payout.payout_jobs as j
            where j.settlement_id = p_settlement.settlement_id);
    end if;

    with owed as materialized (
        select o.*, nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass) as id
        from payout.owed_transfers(p_settlement) as o
    ), wakeups as materialized (
        select case when count(*) > 0 then payout.queue_wakeup(
            v_payout_job_id, count(*)::integer, p_settlement.pay_after) end as ids
        from owed as o where o.has_account
    ), transfers as (
        insert into payout.payout_transfers (payout_transfer_id, payout_job_id, settlement_id,
            payee_id, source_transaction, amount_minor, currency)
        overriding system value
        select o.id, v_payout_job_id, p_settlement.settlement_id, o.payee_id,
            o.source_transaction, o.amount_minor, p_settlement.currency
        from owed as o
    ), states as (
        -- The wake-up jobs are shared out evenly; without any the sweep queues some.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, wakeup_id, reason)
        select o.id,
            case when o.has_account then coalesce(p_settlement.pay_after, current_timestamp) end,
            case when o.has_account then w.ids[1 + (row_number() over (order by o.id) - 1)
                * cardinality(w.ids) / count(*) over ()] end,
            case when not o.has_account then 'awaiting_account' end
        from owed as o cross join wakeups as w
    ), entries as (
        insert into payout.ledger_entries (payout_transfer_id, kind, generation, debit_account,
            credit_account, currency, amount_minor)
        select o.id, e.kind, 1, e.debit_account, e.credit_account, p_settlement.currency,
            o.amount_minor
        from owed as o
        cross join lateral (values
            ('obligation', 'settlement_funds', 'payable:' || o.payee_id),
            ('reserve', 'payable:' || o.payee_id, 'in_flight')
        ) as e (kind, debit_account, credit_account)
        order by o.id, e.kind
    )
    select sum(o.amount_minor)::bigint, bool_or(not o.has_account) into v_made_minor, v_waits
    from owed as o having sum(o.amount_minor) = (
        select sum(l.amount_minor) from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id);
    if v_made_minor is distinct from p_settlement.total_minor then
        perform payout.refuse_settlement(p_settlement);
    end if;
    if v_waits then
        perform payout.begin_account_waits(p_settlement.settlement_id);
    end if;
    return v_payout_job_id;
end
$$;
comment on function payout.create_transfers(payout.settlements) is
    'Schedules the payouts of a complete settlement whose row this transaction has written; '
    'returns the payout_job_id, or the error that names what is wrong with it.';
