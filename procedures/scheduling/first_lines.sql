-- first_lines: two lines of a settlement, or the only one it has.

create or replace function payout.first_lines(p_settlement_id text)
returns payout.settlement_lines[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    return array(
        select l
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement_id
        limit 2);
end
$$;
comment on function payout.first_lines(text) is
    'Enough lines of a settlement to see whether it has exactly one.';
