-- newest_row_id: the highest id that a sealed table shows.
--
-- Stable, so that it reads with the snapshot of the query that calls it.

create or replace function payout.newest_row_id(p_table_name text)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case p_table_name
        when 'ledger_entries' then
            (select max(e.ledger_entry_id) from payout.ledger_entries as e)
        when 'transfer_observations' then
            (select max(o.observation_id) from payout.transfer_observations as o)
        when 'transfer_requests' then
            (select max(r.transfer_request_id) from payout.transfer_requests as r)
        when 'payout_transfers' then
            (select max(t.payout_transfer_id) from payout.payout_transfers as t)
    end
$$;
comment on function payout.newest_row_id(text) is 'The highest id; null: the table is empty.';
