-- reconcile_query: the query for the transfers of Stripe that a run compares.
--
-- The window is wider by an hour and by five minutes, as the clocks here and at Stripe differ.

create or replace function payout.reconcile_query(p_run payout.reconcile_runs)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object('created', jsonb_build_object(
        'gte', greatest(0, floor(extract(epoch from p_run.created_from - interval '1 hour'))),
        'lt', ceil(extract(epoch from p_run.created_until + interval '5 minutes'))));
end
$$;
comment on function payout.reconcile_query(payout.reconcile_runs) is
    'Parameters of GET /v1/transfers.';
