-- add_seal: seal the next rows of a table, up to an id below which no row can come any more.
--
-- Called by: seal_up_to_mark, under the lock of the one sealer.

create or replace function payout.add_seal(
    p_table_name text, p_up_to_id bigint, p_limit integer, p_now timestamptz
)
returns payout.seals
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_seal payout.seals;
    v_former payout.seals;
begin
    select * into v_former
    from payout.seals as s
    where s.table_name = p_table_name
    order by s.last_id desc
    limit 1;

    v_seal.seal_id := 1 + coalesce((select max(s.seal_id) from payout.seals as s), 0);
    v_seal.seal_version := 1;
    v_seal.table_name := p_table_name;
    -- The first range begins at the lowest number there is: ids below 1 could be slipped in.
    v_seal.first_id := coalesce(v_former.last_id + 1, -9223372036854775808);
    v_seal.sealed_at := p_now;

    select
        coalesce(range_agg(int8range(r.row_id, r.row_id, '[]')), '{}'),
        coalesce(string_agg(substr(r.row_sha256, 1, 8), '' order by r.row_id), ''),
        sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), '')),
        min(r.row_at), greatest(v_former.rows_until, max(r.row_at)),
        case when count(*) < p_limit then p_up_to_id else max(r.row_id) end
    into v_seal.row_ids, v_seal.row_digests, v_seal.rows_sha256, v_seal.rows_from,
        v_seal.rows_until, v_seal.last_id
    from payout.sealed_rows_v1(p_table_name, v_seal.first_id, p_up_to_id, p_limit) as r;

    v_seal.seal_sha256 := payout.seal_sha256(v_seal);
    insert into payout.seals select v_seal.*;
    if p_table_name = 'ledger_entries' then
        insert into payout.seal_subtotals (
            seal_id, account, currency, debit_minor, credit_minor, debits, credits)
        select v_seal.seal_id, b.account, b.currency, b.debit_minor, b.credit_minor, b.debits,
            b.credits
        from payout.subtotals_of(v_seal) as b;
    end if;
    return v_seal;
end
$$;
comment on function payout.add_seal(text, bigint, integer, timestamptz) is
    'Seals up to p_limit rows, with the sub-totals of the ledger; returns the seal.';
