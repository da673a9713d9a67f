-- last_settlement_id: the last id, by its order, in the tables that name a settlement.
--
-- Called by: verify_settlements.

create or replace function payout.last_settlement_id()
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return greatest(
        (select max(s.settlement_id::text) from payout.settlements as s),
        (select max(l.settlement_id::text) from payout.settlement_lines as l),
        (select max(j.settlement_id::text) from payout.payout_jobs as j),
        (select max(t.settlement_id::text) from payout.payout_transfers as t));
end
$$;
comment on function payout.last_settlement_id() is 'Null: there is none.';
