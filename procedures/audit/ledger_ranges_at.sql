-- ledger_ranges_at: the parts of the ledger that make up its state at a time.
--
-- The longest run of seals all of whose entries count, as the last of them, whose sub-totals are
-- the sums of the run; and the ranges of ids of which each entry must be looked at: the seals that
-- reach across the time, and all that is not sealed.

create or replace function payout.ledger_ranges_at(p_at timestamptz)
returns table (seal_id bigint, first_id bigint, last_id bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    (
        -- Times grow with ids here, so this is the index of the time.
        select s.seal_id, null::bigint, null::bigint
        from payout.seals as s
        where s.table_name = 'ledger_entries' and s.rows_until <= p_at
        order by s.rows_until desc, s.last_id desc
        limit 1
    )
    union all
    select null, s.first_id, s.last_id
    from payout.seals as s
    where s.table_name = 'ledger_entries'
        and tstzrange(s.rows_from, s.rows_until, '[)') @> p_at
    union all
    select null, coalesce(max(s.last_id) + 1, -9223372036854775808), 9223372036854775807
    from payout.seals as s
    where s.table_name = 'ledger_entries'
$$;
comment on function payout.ledger_ranges_at(timestamptz) is
    'One row with seal_id, if a seal was over by then, and one for each range of ids to be read.';
