-- create_transfers: make the payout job of a settlement, with its transfers and their books.
--
-- One statement for all payees, so that a settlement of ten thousand costs little more than its
-- rows. Transfers that cannot be paid as they stand are left out; lines and transfers are added
-- up in one look, since a later look may find others. Only if the sum is wrong is the reason
-- looked for.
-- Called by: schedule_payout_job, whose transaction has written the settlement's row.
-- Safe to repeat: a settlement that has its job keeps it.
-- Raises: SP301 to SP306, SP308 it cannot be paid out as it stands; SP402 it can by now.

create or replace function payout.create_transfers(p_settlement payout.settlements)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_job_id bigint;
    v_made_minor bigint;
    v_wrong record;
begin
    insert into payout.payout_jobs (settlement_id) values (p_settlement.settlement_id)
    on conflict do nothing
    returning payout_job_id into v_payout_job_id;
    if not found then
        return (select j.payout_job_id from payout.payout_jobs as j
            where j.settlement_id = p_settlement.settlement_id);
    end if;

    with owed as materialized (
        select * from payout.owed_transfers(p_settlement)
    ), wakeups as materialized (
        select payout.queue_wakeup(
            v_payout_job_id, (select count(*)::integer from owed), p_settlement.pay_after) as ids
    ), transfers as (
        insert into payout.payout_transfers (
            payout_job_id, settlement_id, payee_id, source_transaction, amount_minor, currency)
        select v_payout_job_id, p_settlement.settlement_id, o.payee_id, o.source_transaction,
            o.amount_minor, p_settlement.currency
        from owed as o
        returning payout_transfer_id, payee_id, amount_minor, currency
    ), states as (
        -- The wake-up jobs are shared out evenly; without any the sweep queues some.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, wakeup_id)
        select t.payout_transfer_id, coalesce(p_settlement.pay_after, current_timestamp),
            w.ids[1 + (row_number() over (order by t.payout_transfer_id) - 1)
                * cardinality(w.ids) / count(*) over ()]
        from transfers as t cross join wakeups as w
    ), entries as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, currency,
            amount_minor)
        select t.payout_transfer_id, e.kind, 1, e.debit_account, e.credit_account, t.currency,
            t.amount_minor
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
        select sum(l.amount_minor) from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id);
    if v_made_minor is distinct from p_settlement.total_minor then
        select * into v_wrong from payout.settlement_problem(p_settlement);
        raise exception 'settlement %', p_settlement.settlement_id || v_wrong.problem
            using errcode = v_wrong.code, hint = v_wrong.hint;
    end if;
    return v_payout_job_id;
end
$$;
comment on function payout.create_transfers(payout.settlements) is
    'Schedules the payouts of a complete settlement whose row this transaction has written; '
    'returns the payout_job_id, or the error that names what is wrong with it.';
