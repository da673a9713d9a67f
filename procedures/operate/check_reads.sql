-- check_reads: whether all of Stripe's transfers were compared with the books lately.
--
-- A comparison under another identity or Stripe account says nothing about this one.

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
    from (select) as always
    left join lateral (
        select r.finished_at, r.result
        from payout.stripe_reads as r
        where r.kind = 'comparison'
            and r.kind in ('events', 'comparison')
            and r.finished_at is not null
            and payout.is_of_this_database(r)
        order by r.read_id desc
        limit 1
    ) as last on true
    left join lateral (
        select e.created_at from payout.ledger_entries as e order by e.ledger_entry_id limit 1
    ) as first on true
$$;
comment on function payout.check_reads() is 'Part of payout_api.doctor().';
