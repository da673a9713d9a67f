-- start_run: start a comparison with Stripe from where the last one ended.
--
-- Called by: begin_reconcile. Windows overlap by a day, so that a transfer whose answer came late
-- falls whole into one of them. Without a former run that counts, the window begins at the
-- installation, or at the first transfer if that is older; without a transfer, at the first of
-- Stripe's.
-- Safe to repeat, also by several workers at once: one run is open, by its unique key.

create or replace function payout.start_run(p_worker text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_from timestamptz := (
        select max(r.created_until) - interval '1 day'
        from payout.runs_of_this_database() as r
        -- The end of a run that began under a clock that was ahead is unknown.
        where r.finished_at is not null and r.created_until <= v_now);
begin
    update payout.reconcile_runs as r
    set abandoned_at = v_now
    where r.finished_at is null
        and r.abandoned_at is null
        and r.reconcile_run_id not in (
            select c.reconcile_run_id from payout.runs_of_this_database() as c);

    v_from := coalesce(
        v_from,
        -- A database restored to before its first transfer has forgotten older transfers.
        (select least(t.created_at, (select min(o.recorded_at) from payout.adoptions as o))
                - interval '1 day'
            from payout.payout_transfers as t
            order by t.payout_transfer_id
            limit 1),
        to_timestamp(0));
    -- The clock may have been set back.
    v_from := least(v_from, v_now - interval '1 day');

    insert into payout.reconcile_runs (
        worker, started_at, adoption_id, created_from, created_until, transfers_expected)
    values (
        p_worker, v_now, (select max(o.adoption_id) from payout.adoptions as o), v_from, v_now, (
            select count(*)
            from payout.ledger_entries as e
            where e.kind = 'paid' and e.created_at >= v_from and e.created_at < v_now))
    on conflict do nothing;
end
$$;
comment on function payout.start_run(text) is
    'Starts a run, unless one is open; abandons one that no longer counts for this database.';
