-- end_of_step: the last number of a step of fifty thousand transfers, within a range of numbers.
--
-- Steps leave no number out: rows without a transfer are looked at too.

create or replace function payout.end_of_step(p_from bigint, p_to bigint)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select t.payout_transfer_id - 1
        from payout.payout_transfers as t
        where t.payout_transfer_id between p_from and p_to
        order by t.payout_transfer_id
        offset 50000
        limit 1), p_to)
$$;
comment on function payout.end_of_step(bigint, bigint) is
    'The number before the one with which the next step begins; p_to: it is the last step.';
