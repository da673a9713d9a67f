-- check_books: whether the books agree with the transfers, and with Stripe.

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
        'select * from payout.discrepancies where resolved_at is null'
    from payout.discrepancies as d
    where d.resolved_at is null
$$;
comment on function payout.check_books() is 'Part of payout_api.doctor().';
