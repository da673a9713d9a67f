-- runs_of_this_database: the reconcile runs that count for this database as it is now.
--
-- A run of another identity, or from before the newest row of adoptions (first claims aside),
-- compared another database or another Stripe account. The run that the newest adoption rests on
-- counts. No time is compared: a clock may be set back.

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
        select a.adoption_id, a.reconcile_run_id
        from payout.adoptions as a
        where not a.is_first_claim
        order by a.adoption_id desc
        limit 1
    ) as a on true
    where r.abandoned_at is null
        and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)
            = (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)
        and (a.adoption_id is null or r.adoption_id >= a.adoption_id
            or r.reconcile_run_id >= a.reconcile_run_id)
$$;
comment on function payout.runs_of_this_database() is
    'Runs, finished or open, since the database was last adopted or its Stripe account changed, '
    'and the run that the adoption rests on.';
