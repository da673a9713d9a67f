-- create_transfer: the one transfer of a settlement with one line, its progress and its books.
--
-- The common case of create_transfers, without what it needs for many rows: half its cost.
-- Called by: create_payout_job, whose settings hold here as well.

create or replace function payout.create_transfer(
    p_settlement payout.settlements, p_payout_job_id bigint, p_line payout.settlement_lines
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_destination text;
    v_payout_ref text;
    v_payout_transfer_id bigint;
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
    if v_destination is null then
        return 0::bigint;
    end if;

    v_payout_ref := payout.payout_ref(
        p_settlement.settlement_id, p_line.payee_id, p_line.source_transaction);
    v_payout_transfer_id := nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass);

    -- One statement: each costs its start and end once more.
    with transfer as (
        insert into payout.payout_transfers (
            payout_transfer_id, payout_job_id, settlement_id, payee_id, source_transaction,
            destination, amount_minor, currency, payout_ref, request)
        overriding system value
        values (
            v_payout_transfer_id, p_payout_job_id, p_settlement.settlement_id, p_line.payee_id,
            p_line.source_transaction, v_destination, p_line.amount_minor, p_settlement.currency,
            v_payout_ref,
            payout.transfer_request(
                v_payout_ref, p_settlement, p_line.payee_id, v_destination, p_line.amount_minor,
                p_line.source_transaction))
    ), progress as (
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, doorbell_id)
        values (
            v_payout_transfer_id, coalesce(p_settlement.pay_after, now()),
            (payout.ring_for_job(p_payout_job_id, 1, p_settlement.pay_after))[1])
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    values
        (v_payout_transfer_id, 'obligation', 1, 'settlement_funds', 'payable:' || p_line.payee_id,
            p_line.amount_minor, p_settlement.currency),
        (v_payout_transfer_id, 'reserve', 1, 'payable:' || p_line.payee_id, 'in_flight',
            p_line.amount_minor, p_settlement.currency);
    return p_line.amount_minor::bigint;
end
$$;
comment on function payout.create_transfer(
    payout.settlements, bigint, payout.settlement_lines
) is
    'Writes the transfer of the only line of a settlement; returns its amount, 0 if it cannot be '
    'paid as it stands.';
