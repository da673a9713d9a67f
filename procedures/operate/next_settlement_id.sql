-- next_settlement_id: the first id after another in the tables that name a settlement.
--
-- Called by: verify_settlements. Text has no successor that could be computed.

create or replace function payout.next_settlement_id(p_after text)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return least(
        (select min(s.settlement_id::text) from payout.settlements as s
            where s.settlement_id > p_after),
        (select min(l.settlement_id::text) from payout.settlement_lines as l
            where l.settlement_id > p_after),
        (select min(j.settlement_id::text) from payout.payout_jobs as j
            where j.settlement_id > p_after),
        (select min(t.settlement_id::text) from payout.payout_transfers as t
            where t.settlement_id > p_after));
end
$$;
comment on function payout.next_settlement_id(text) is 'Null: there is none.';
