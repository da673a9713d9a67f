-- newest_outcomes: the last thing that the application was told about each transfer.

create or replace function payout.newest_outcomes()
returns table (payout_transfer_id bigint, status text, reversed_minor bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct on (o.payout_transfer_id)
        o.payout_transfer_id, o.status::text, o.reversed_minor
    from payout.outcomes as o
    order by o.payout_transfer_id, o.outcome_id desc
$$;
comment on function payout.newest_outcomes() is
    'One row for each transfer with an outcome; a transfer without any is scheduled.';
