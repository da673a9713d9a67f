-- newest_outcomes: the last thing that the application was told about each transfer of a range.

create or replace function payout.newest_outcomes(
    p_from bigint default -9223372036854775808, p_to bigint default 9223372036854775807
)
returns table (payout_transfer_id bigint, status text, reversed_minor bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select distinct on (o.payout_transfer_id)
        o.payout_transfer_id, o.status::text, o.reversed_minor
    from payout.outcomes as o
    where o.payout_transfer_id between p_from and p_to
    order by o.payout_transfer_id, o.outcome_id desc
$$;
comment on function payout.newest_outcomes(bigint, bigint) is
    'One row for each transfer from p_from to p_to with an outcome; one without any is scheduled.';
