-- midnights_between: the ends of an interval, and the midnights of UTC within it.
--
-- It begins where the books do, and its last midnight is the next that comes: either end may be
-- infinite. Entries that are older than the first by number reach across its time.

create or replace function payout.midnights_between(p_from timestamptz, p_to timestamptz)
returns setof timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
    with first_entry as (
        select e.created_at from payout.ledger_entries as e order by e.ledger_entry_id limit 1
    ), beginning as (
        select case when p_from >= f.created_at then p_from else greatest(p_from, least(
            f.created_at,
            (
                select min(l.created_at)
                from payout.ledger_ranges_at(f.created_at) as r
                join payout.ledger_entries as l
                    on l.ledger_entry_id between r.first_id and r.last_id
            ))) end as at
        from first_entry as f
    )
    select b.at from beginning as b where b.at < p_to
    union
    select m.at
    from beginning as b
    cross join lateral generate_series(
        date_trunc('day', b.at) + interval '1 day',
        least(p_to, date_trunc('day', now()) + interval '1 day'),
        interval '1 day') as m (at)
    where m.at < p_to
    union
    select p_to from beginning as b where b.at < p_to
$$;
comment on function payout.midnights_between(timestamptz, timestamptz) is
    'The moments at which the days of money_flow begin, and the end of the last.';
