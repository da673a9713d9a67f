-- find_missing: the transfers that are paid here and that a whole run did not list.
--
-- Compares transfers that were first sent and reported within the run's window: Stripe made them
-- in between. Windows overlap by more than the time for which a key may be sent.

create or replace function payout.find_missing(p_run payout.reconcile_runs)
returns setof payout.discrepancy
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = on
set enable_hashjoin = on
set enable_mergejoin = on
as $$
begin
    return query
    with seen as materialized (
        select i.stripe_transfer_id
        from payout.reconcile_pages as p
        cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
        where p.reconcile_run_id = p_run.reconcile_run_id
    )
    select
        'missing_at_stripe', t.payout_transfer_id, s.stripe_transfer_id,
        payout.transfer_facts(t, c.is_livemode), '{}'::jsonb
    from payout.ledger_entries as e
    join payout.transfer_states as s on s.payout_transfer_id = e.payout_transfer_id
    join payout.payout_transfers as t on t.payout_transfer_id = e.payout_transfer_id
    cross join payout.engine_settings as c
    where e.kind = 'paid'
        and e.created_at >= p_run.created_from
        and e.created_at < p_run.created_until
        and s.state = 'paid'
        and s.first_sent_at >= p_run.created_from
        and not exists (
            select from seen as i where i.stripe_transfer_id = s.stripe_transfer_id
        );
end
$$;
comment on function payout.find_missing(payout.reconcile_runs) is
    'Discrepancies at the end of a run, of kind missing_at_stripe.';
