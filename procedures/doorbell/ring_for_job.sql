-- ring_for_job: ring once for every so many transfers of a job that is being scheduled.
--
-- Nothing rings before pay_after: the queue's fetch would walk past it each time.

create or replace function payout.ring_for_job(
    p_payout_job_id bigint, p_transfers integer, p_pay_after timestamptz
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_pay_after > now() then
        return '{}'::bigint[];
    end if;
    if p_transfers = 1 then
        return payout.defer_job(p_payout_job_id, 1);
    end if;
    return payout.defer_job(p_payout_job_id, (
        select (p_transfers + e.transfers_per_doorbell - 1) / e.transfers_per_doorbell
        from payout.engine_settings as e));
end
$$;
comment on function payout.ring_for_job(bigint, integer, timestamptz) is
    'Defers the queue jobs of a new payout job, one for each transfers_per_doorbell (of '
    'engine_settings) transfers; none before pay_after.';
