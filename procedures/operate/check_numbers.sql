-- check_numbers: whether the next number of each table comes after those that its rows have.
--
-- Replication and copies bring rows without the sequences that numbered them. Then inserts fail,
-- or, where a number is free, a row takes one from before: of a payee's accounts the one with the
-- highest number is paid.

create or replace function payout.check_numbers()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'numbers go on after the newest row', count(*) = 0,
        coalesce(
            string_agg(format('%s, whose newest row has %s', n.sequence, n.newest), '; '),
            'of each table'),
        'stop the workers; select setval(''…'', …) with the number of the newest row'
    from (
        select pg_get_serial_sequence('payout.' || t.name, t.number) as sequence, t.newest
        from (
            select 'adoptions', 'adoption_id', max(r.adoption_id) from payout.adoptions as r
            union all
            select 'catalogues', 'catalogue_id', max(r.catalogue_id) from payout.catalogues as r
            union all
            select 'discrepancies', 'discrepancy_id', max(r.discrepancy_id)
            from payout.discrepancies as r
            union all
            select 'holds', 'hold_id', max(r.hold_id) from payout.holds as r
            union all
            select 'ledger_entries', 'ledger_entry_id', max(r.ledger_entry_id)
            from payout.ledger_entries as r
            union all
            select 'not_ours_rules', 'not_ours_rule_id', max(r.not_ours_rule_id)
            from payout.not_ours_rules as r
            union all
            select 'operator_actions', 'operator_action_id', max(r.operator_action_id)
            from payout.operator_actions as r
            union all
            select 'outcomes', 'outcome_id', max(r.outcome_id) from payout.outcomes as r
            union all
            select 'payee_accounts', 'payee_account_id', max(r.payee_account_id)
            from payout.payee_accounts as r
            union all
            select 'payout_jobs', 'payout_job_id', max(r.payout_job_id) from payout.payout_jobs as r
            union all
            select 'payout_transfers', 'payout_transfer_id', max(r.payout_transfer_id)
            from payout.payout_transfers as r
            union all
            select 'stripe_reads', 'read_id', max(r.read_id) from payout.stripe_reads as r
            union all
            select 'transfer_observations', 'observation_id', max(r.observation_id)
            from payout.transfer_observations as r
            union all
            select 'transfer_requests', 'transfer_request_id', max(r.transfer_request_id)
            from payout.transfer_requests as r
        ) as t (name, number, newest)
    ) as n
    where n.newest > coalesce(pg_sequence_last_value(n.sequence::regclass), 0)
$$;
comment on function payout.check_numbers() is 'Part of payout_api.doctor().';
