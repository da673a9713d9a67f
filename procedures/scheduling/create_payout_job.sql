-- create_payout_job: the payout job of a settlement, with its transfers and their books.
--
-- Called by: whoever has written or locked the settlement's row in this transaction.
-- Safe to repeat: a settlement that has its job keeps it; the unique key decides races.
-- What was made is checked as a whole; only if it is wrong is the reason looked for.
-- Raises: SP305, SP308 header; SP303 total; SP301, SP302 payees; SP304, SP306 amounts;
-- SP402 the reason is gone by now, as when a payee was registered meanwhile.

create or replace function payout.create_payout_job(
    p_settlement payout.settlements, p_lines payout.settlement_lines[]
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_payout_job_id bigint;
    v_made_minor bigint;
begin
    insert into payout.payout_jobs (settlement_id)
    values (p_settlement.settlement_id)
    on conflict do nothing
    returning payout_job_id into v_payout_job_id;

    if not found then
        select j.payout_job_id into strict v_payout_job_id
        from payout.payout_jobs as j
        where j.settlement_id = p_settlement.settlement_id;
        return v_payout_job_id;
    end if;

    if cardinality(p_lines) = 1 then
        v_made_minor := payout.create_transfer(p_settlement, v_payout_job_id, p_lines[1]);
    else
        v_made_minor := payout.create_transfers(p_settlement, v_payout_job_id);
    end if;

    if v_made_minor is distinct from p_settlement.total_minor or p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
        perform payout.refuse_bad_total(p_settlement);
        perform payout.refuse_bad_payees(p_settlement.settlement_id);
        perform payout.refuse_bad_amounts(p_settlement.settlement_id, p_settlement.currency);
        if v_made_minor is distinct from p_settlement.total_minor then
            raise exception 'settlement %: payees or currencies changed while it was scheduled',
                p_settlement.settlement_id
                using
                    errcode = 'SP402',
                    hint = 'Repeat the transaction.';
        end if;
    end if;
    return v_payout_job_id;
end
$$;
comment on function payout.create_payout_job(payout.settlements, payout.settlement_lines[]) is
    'Schedules the payouts of a complete settlement whose row this transaction holds; returns the '
    'payout_job_id. Refuses one that cannot be paid out as it stands (SP301 to SP306, SP308) or '
    'has changed meanwhile (SP402).';
