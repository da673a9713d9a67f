-- money_flow: the money that was settled, paid, declined and taken back on each day.
--
-- A day is one of UTC; the interval includes p_from and leaves p_to out, so that months add up.
-- Called by: operators, auditors.

create or replace function payout_api.money_flow(p_from timestamptz, p_to timestamptz)
returns table (
    day date,
    currency payout.currency_code,
    transfers_settled bigint,
    transfers_paid bigint,
    settled_minor numeric,
    paid_minor numeric,
    failed_minor numeric,
    taken_back_minor numeric,
    settled numeric,
    paid numeric,
    failed numeric,
    taken_back numeric
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select f.day, f.currency, f.transfers_settled, f.transfers_paid,
        f.settled_minor, f.paid_minor, f.failed_minor, f.taken_back_minor,
        f.settled_minor * c.minor_unit, f.paid_minor * c.minor_unit,
        f.failed_minor * c.minor_unit, f.taken_back_minor * c.minor_unit
    from (
        select (e.created_at at time zone 'UTC')::date as day,
            e.currency,
            count(*) filter (where e.kind = 'obligation') as transfers_settled,
            count(*) filter (where e.kind = 'paid') as transfers_paid,
            coalesce(sum(e.amount_minor) filter (where e.kind = 'obligation'), 0) as settled_minor,
            coalesce(sum(e.amount_minor) filter (where e.kind = 'paid'), 0) as paid_minor,
            coalesce(sum(e.amount_minor) filter (where e.kind = 'release'), 0) as failed_minor,
            coalesce(sum(e.amount_minor) filter (where e.kind = 'reversal'), 0)
                as taken_back_minor
        from payout.ledger_entries as e
        where e.created_at >= p_from and e.created_at < p_to and e.kind <> 'reserve'
        group by (e.created_at at time zone 'UTC')::date, e.currency
    ) as f
    left join payout.currencies as c on c.currency = f.currency
    order by f.day, f.currency
$$;
comment on function payout_api.money_flow(timestamptz, timestamptz) is
    'For each day (UTC) and currency in which anything was booked: the amounts that settlements '
    'owed, that were paid, that were declined, and that Stripe took back, in minor units and in '
    'the currency itself. From p_from on, before p_to.';
revoke execute on function payout_api.money_flow(timestamptz, timestamptz) from public;
grant execute on function payout_api.money_flow(timestamptz, timestamptz)
    to payout_operator, payout_auditor;
