-- check_books: whether the books agree with the transfers, with Stripe and with the application.

create or replace function payout.check_books()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
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
$$;
comment on function payout.check_books() is 'Part of payout_api.doctor().';
