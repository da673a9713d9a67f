-- runs_of_this_database: the reconcile runs that count for this database as it is now.
--
-- A run that was made elsewhere, or before the gate was last closed, compared
-- another database or another Stripe account. The run that opened the gate counts.
-- No time is compared: a clock may be set back.

create or replace function payout.runs_of_this_database()
returns setof payout.reconcile_runs
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select r.*
    from payout.reconcile_runs as r
    cross join payout.database_identity() as w
    left join lateral (
        select e.adoption_id, e.reconcile_run_id
        from payout.adoptions as e
        where not e.is_first_claim
        order by e.adoption_id desc
        limit 1
    ) as e on true
    where r.abandoned_at is null
        and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)
            = (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)
        and (e.adoption_id is null or r.adoption_id >= e.adoption_id
            or r.reconcile_run_id >= e.reconcile_run_id)
$$;
comment on function payout.runs_of_this_database() is
    'Runs, finished or going on, that were made here since the gate was last opened or closed, '
    'and the one that opened it.';
