-- create_payout_job: make the payout job of a settlement, with its transfers and their books.
--
-- Called by: functions that have written or locked the settlement's row in this transaction.
-- Safe to repeat: a settlement that has its job keeps it; the unique key decides races.
-- The result is checked as a whole; only if it is wrong is the reason looked for.
-- Raises: as refuse_bad_settlement.

create or replace function payout.create_payout_job(p_settlement payout.settlements)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
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

    -- First: a reserved key in the metadata would be found wrong in the requests.
    if p_settlement.metadata <> '{}' then
        perform payout.refuse_bad_header(p_settlement);
    end if;
    v_made_minor := payout.create_transfers(p_settlement, v_payout_job_id);
    if v_made_minor is distinct from p_settlement.total_minor then
        perform payout.refuse_bad_settlement(p_settlement, v_made_minor);
    end if;
    return v_payout_job_id;
end
$$;
comment on function payout.create_payout_job(payout.settlements) is
    'Schedules the payouts of a complete settlement whose row this transaction holds; returns the '
    'payout_job_id. Refuses one that cannot be paid out as it stands (SP301 to SP306, SP308) or '
    'has changed meanwhile (SP402).';
