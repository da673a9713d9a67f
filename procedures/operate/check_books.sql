-- check_books: whether the books agree with the transfers, with the application and with Stripe.
--
-- A comparison with Stripe under another identity or Stripe account says nothing about this one.
-- Where nothing is due, no worker compares the newest.

create or replace function payout.check_books()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'books balance', count(*) = 0,
        coalesce(string_agg(b.currency, ', '), 'every currency'),
        'payout_api.hold(''engine'', …) and select * from payout_api.trial_balance'
    from payout_api.trial_balance as b
    where b.difference_minor <> 0 or b.in_flight_minor <> b.open_transfers_minor
    union all
    select 'no discrepancy is open', count(*) = 0,
        coalesce(string_agg(distinct d.kind, ', '), 'none'),
        'select * from payout_api.discrepancies'
    from payout.discrepancies as d
    where d.resolved_at is null and d.kind <> 'settlement_edited'
    union all
    select 'no settlement was edited after it was settled', count(*) = 0,
        coalesce(string_agg(d.ours ->> 'settlement_id', ', '), 'none'),
        'select * from payout_api.discrepancies where kind = ''settlement_edited''; docs/attach.md'
    from (
        select d.* from payout.discrepancies as d
        where d.resolved_at is null and d.kind = 'settlement_edited'
        order by d.discrepancy_id
        limit 100
    ) as d
    union all
    select 'all transfers were compared within a day',
        coalesce(
            last.finished_at > clock_timestamp() - interval '1 day',
            first.created_at is null or first.created_at > clock_timestamp() - interval '1 day'),
        coalesce(
            'the last comparison finished at ' || last.finished_at || ': ' || last.result,
            'no comparison has finished'),
        'payout-engine reconcile says why; workers compare every PAYOUT_RECONCILE_MINUTES'
    from payout.newest_read('comparison') as last
    left join lateral (
        select e.created_at from payout.ledger_entries as e order by e.ledger_entry_id limit 1
    ) as first on true
    union all
    select 'the newest transfers were compared before claims',
        payout.is_compared(e.comparison_counts_for) or payout.identity_problem() is not null
            or not exists (
                select from payout.transfer_states as s
                where s.next_attempt_at < clock_timestamp() - interval '1 minute'
                    and s.hold_id is null and s.state in ('retry_wait', 'unknown', 'scheduled')
                    and s.next_lookup_at is null
            ),
        'the server was started at ' || pg_postmaster_start_time() || ', a comparison counts for '
            || e.comparison_counts_for,
        'a worker does it before it claims, and its log says why it cannot: it needs a key that '
            'may read transfers'
    from payout.engine_settings as e
$$;
comment on function payout.check_books() is 'Part of payout_api.doctor().';
