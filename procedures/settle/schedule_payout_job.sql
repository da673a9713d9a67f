-- schedule_payout_job: make the one payout job of a complete settlement; every way leads here.
--
-- A settlement of one line, the common case, costs one look and one statement. All others, and
-- those that have their job, whose payee has no account or that cannot be paid, are
-- create_transfers' part; a test compares the rows of the two. Sequential scans are off where it
-- is called.
-- Called by: complete_settlement and the trigger, with the row that their transaction has written
-- and, for one without a job, its only line; the owner, by the id alone.
-- Safe to repeat: a settlement that has its job keeps it, nothing is written.
-- Raises: SP310 unknown settlement; SP202 still pending; as create_transfers.

create or replace function payout.schedule_payout_job(
    p_settlement_id text,
    p_settlement payout.settlements default null,
    p_line payout.settlement_lines default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_job_id bigint;
    v_transfer_id bigint;
    v_wakeup_id bigint;
begin
    -- A snapshot shows the lines of a settlement of the same id that was deleted after it was
    -- taken: locking what it shows of the id then fails (40001).
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        perform from payout.settlements as s
        where s.settlement_id = p_settlement_id
        for key share;
    end if;
    if p_line.line_id is null then
        return payout.create_transfers(
            coalesce(p_settlement, payout.lock_complete_settlement(p_settlement_id)));
    end if;
    -- The wake-up job that was seen to wait serves nearly every settlement.
    select nextval('payout.payout_jobs_payout_job_id_seq'::regclass),
        nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass),
        pg_sequence_last_value('payout.seen_wakeup'::regclass)
    into v_payout_job_id, v_transfer_id, v_wakeup_id
    from payout.currencies as c
    where c.currency = p_settlement.currency
        and p_line.amount_minor = p_settlement.total_minor
        and p_line.amount_minor % c.amount_step = 0
        and exists (select from payout.payee_accounts as a where a.payee_id = p_line.payee_id)
        and (p_settlement.metadata = '{}'
            or payout.metadata_problem(p_settlement.metadata) is null);
    if not found then
        return payout.create_transfers(p_settlement);
    end if;

    if v_wakeup_id is null or p_settlement.pay_after is not null then
        v_wakeup_id := (payout.queue_wakeup(v_payout_job_id, 1, p_settlement.pay_after))[1];
    end if;
    -- One statement, because each further one costs its start and end.
    with job as (
        insert into payout.payout_jobs (payout_job_id, settlement_id) overriding system value
        values (v_payout_job_id, p_settlement.settlement_id)
    ), transfer as (
        insert into payout.payout_transfers (
            payout_transfer_id, payout_job_id, settlement_id, payee_id, source_transaction,
            amount_minor, currency)
        overriding system value
        values (v_transfer_id, v_payout_job_id, p_settlement.settlement_id, p_line.payee_id,
            p_line.source_transaction, p_line.amount_minor, p_settlement.currency)
    ), progress as (
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, wakeup_id)
        values (v_transfer_id, coalesce(p_settlement.pay_after, current_timestamp), v_wakeup_id)
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    values (v_transfer_id, 'obligation', 1, 'settlement_funds', 'payable:' || p_line.payee_id,
            p_line.amount_minor, p_settlement.currency),
        (v_transfer_id, 'reserve', 1, 'payable:' || p_line.payee_id, 'in_flight',
            p_line.amount_minor, p_settlement.currency);
    return v_payout_job_id;
end
$$;
comment on function payout.schedule_payout_job(
    text, payout.settlements, payout.settlement_lines
) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable. '
    'Refuses one that cannot be paid out as it stands (SP301, SP303, SP305, SP306, SP308).';
