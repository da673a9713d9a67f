-- tg_settlements__schedule_payout_job: schedule a settlement that commits as complete.
--
-- Deferred to the commit, so that settlement and lines may come in any order.
-- complete_settlement schedules its own settlements by itself; no other writer may say so of a
-- row. The trigger stays ORIGIN, unlike the guards: a replica or a restore must not pay again.
-- Definer: the application may write settlements, but no jobs or transfers.
-- Raises: as refuse_bad_settlement; the commit then fails as a whole.

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
    -- Two lines are enough to see whether there is exactly one; none if it has its job. A
    -- settlement that was complete before may have a job that an older snapshot does not show.
    v_lines := array(
        select l
        from payout.settlement_lines as l
        where l.settlement_id = new.settlement_id
            and not exists (
                select from payout.payout_jobs as j where j.settlement_id = new.settlement_id
            )
        limit 2);
    if cardinality(v_lines) = 1 and old.state is distinct from 'complete' then
        perform payout.create_single_payout(new, v_lines[1]);
    else
        perform payout.create_payout_job(new);
    end if;
    return null;
end
$$;
comment on function payout.tg_settlements__schedule_payout_job() is
    'Trigger: at commit, makes the payout job of a complete settlement.';
