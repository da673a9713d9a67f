-- check_reads: whether Stripe's transfers were compared with the books lately, all and the newest.
--
-- A comparison under another identity or Stripe account says nothing about this one. Where nothing
-- is due, no worker compares the newest.

create or replace function payout.check_reads()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
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
comment on function payout.check_reads() is 'Part of payout_api.doctor().';
