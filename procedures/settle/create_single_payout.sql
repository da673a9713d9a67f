-- create_single_payout: make the payout job of a settlement with one line.
--
-- This is the common case of create_payout_job, without the work for many lines or a second
-- call, at half its cost; a test compares the rows that the two write. Sequential scans are off
-- where it is called.
-- Called by: functions that have just written the settlement, which has no job yet.
-- Raises: as refuse_bad_header and refuse_bad_settlement.

create or replace function payout.create_single_payout(
    p_settlement payout.settlements, p_line payout.settlement_lines
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_destination text;
    v_payout_job_id bigint := nextval('payout.payout_jobs_payout_job_id_seq'::regclass);
    v_transfer_id bigint := nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass);
    v_wakeup_id bigint := pg_sequence_last_value('payout.seen_wakeup'::regclass);
begin
    select (
        select a.stripe_account_id
        from payout.payee_accounts as a
        where a.payee_id = p_line.payee_id
        order by a.payee_account_id desc
        limit 1
    ) into v_destination
    from payout.currencies as c
    where c.currency = p_settlement.currency
        and p_line.amount_minor <= c.largest_amount_minor
        and p_line.amount_minor % c.amount_step = 0;

    if p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
    end if;
    if v_destination is null or p_line.amount_minor <> p_settlement.total_minor then
        perform payout.refuse_bad_settlement(
            p_settlement, case when v_destination is not null then p_line.amount_minor::bigint end);
    end if;

    -- The wake-up job that was seen to wait serves nearly every settlement.
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
        values (
            v_transfer_id, v_payout_job_id, p_settlement.settlement_id, p_line.payee_id,
            p_line.source_transaction, p_line.amount_minor, p_settlement.currency)
    ), progress as (
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, wakeup_id)
        values (v_transfer_id, coalesce(p_settlement.pay_after, current_timestamp), v_wakeup_id)
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    values
        (v_transfer_id, 'obligation', 1, 'settlement_funds', 'payable:' || p_line.payee_id,
            p_line.amount_minor, p_settlement.currency),
        (v_transfer_id, 'reserve', 1, 'payable:' || p_line.payee_id, 'in_flight',
            p_line.amount_minor, p_settlement.currency);
    return v_payout_job_id;
end
$$;
comment on function payout.create_single_payout(payout.settlements, payout.settlement_lines) is
    'Schedules the payout of a new settlement by its only line; returns the payout_job_id. Its '
    'refusals are those of create_payout_job.';
