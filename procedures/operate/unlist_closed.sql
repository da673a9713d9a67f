-- unlist_closed: take transfers out of reversed_money of which nothing is open any more.
--
-- A reversal that another transaction books meanwhile has a row of its own, which stays: neither
-- waits for the other.

create or replace function payout.unlist_closed(p_payout_transfer_ids bigint[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    delete from payout.open_reversals as o
    where o.payout_transfer_id = any (p_payout_transfer_ids)
        and not exists (
            select from payout_api.reversed_money as m
            where m.payout_transfer_id = o.payout_transfer_id
        )
$$;
comment on function payout.unlist_closed(bigint[]) is
    'Removes the rows of open_reversals of these transfers, unless something of them is owed.';
