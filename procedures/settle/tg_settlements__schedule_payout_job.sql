-- tg_settlements__schedule_payout_job: schedule a settlement that commits as complete.
--
-- Deferred to the commit, so that the lines may come after a settlement that is complete at once.
-- The trigger stays ORIGIN, unlike the guards: a replica or a restore must not pay again. It
-- passes by the rows that complete_settlement writes, which it knows by their writer, the owner;
-- no column says so, since an application could write it.
-- Definer: the application may write settlements, but no jobs or transfers.
-- Raises: as schedule_payout_job; the commit then fails as a whole.

create or replace function payout.tg_settlements__schedule_payout_job()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_lines payout.settlement_lines[];
begin
    -- The row is as the event shows it, and stays so: a complete settlement is frozen.
    if new.state <> 'complete' then
        return null;
    end if;
    -- Two lines are enough to see whether there is exactly one; none if it has its job.
    v_lines := array(
        select l
        from payout.settlement_lines as l
        where l.settlement_id = new.settlement_id
            and not exists (
                select from payout.payout_jobs as j where j.settlement_id = new.settlement_id
            )
        limit 2);
    perform payout.schedule_payout_job(
        new.settlement_id, new, case when cardinality(v_lines) = 1 then v_lines[1] end);
    return null;
end
$$;
comment on function payout.tg_settlements__schedule_payout_job() is
    'Trigger: at commit, makes the payout job of a complete settlement.';
