-- schedule_payout_job: the one payout job of a complete settlement.
--
-- Called by: the settlement trigger at commit, and complete_settlement.
-- Safe to repeat: a settlement that has its job keeps it, nothing is written.
-- Locks: the settlement's row, so that concurrent events make one job.
-- Raises: SP310 unknown settlement; SP202 still pending; SP301 to SP308.

create or replace function payout.schedule_payout_job(p_settlement_id text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
    v_payout_job_id bigint;
    v_transfers integer;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;

    if not found then
        raise exception 'settlement % does not exist', p_settlement_id
            using errcode = 'SP310';
    end if;

    select j.payout_job_id into v_payout_job_id
    from payout.payout_jobs as j
    where j.settlement_id = p_settlement_id;

    if found then
        return v_payout_job_id;
    end if;

    if v_settlement.state <> 'complete' then
        raise exception 'settlement % is still pending', p_settlement_id
            using
                errcode = 'SP202',
                hint = 'Set its state to complete; that schedules its payouts.';
    end if;

    v_transfers := payout.check_settlement(v_settlement);

    insert into payout.payout_jobs (settlement_id)
    values (p_settlement_id)
    returning payout_job_id into v_payout_job_id;

    perform payout.create_transfers(
        v_settlement, v_payout_job_id,
        payout.ring_for_job(v_payout_job_id, v_transfers, v_settlement.pay_after));

    return v_payout_job_id;
end
$$;
comment on function payout.schedule_payout_job(text) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable.';
