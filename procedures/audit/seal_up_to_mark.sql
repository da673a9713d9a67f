-- seal_up_to_mark: seal the next rows of a table, up to its mark, then set the next mark.
--
-- Called by: seal, under the lock of the one sealer.
-- Ids are given out before commit, so a lower id can appear after a higher one. A transaction
-- that had written an id below the mark when the mark was set had a transaction id below the
-- snapshot's end, and is over once no such transaction runs. A transaction that had fetched an id
-- but not yet written its row had no transaction id: hence the wait of a minute.

create or replace function payout.seal_up_to_mark(
    p_mark payout.seal_marks, p_now timestamptz, p_limit integer
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The newest seal of the table, out of which the next one is made.
    v_seal payout.seals;
    v_sealed integer := 0;
begin
    -- A mark out of the future is of another cluster, or of a clock that was set back.
    if p_mark.marked_at <= p_now
        and p_mark.marked_xid <= pg_snapshot_xmax(pg_current_snapshot()) then
        if p_mark.marked_xid > pg_snapshot_xmin(pg_current_snapshot()) then
            return 0;
        end if;
        select * into v_seal
        from payout.seals as s
        where s.table_name = p_mark.table_name
        order by s.last_id desc
        limit 1;
        while coalesce(v_seal.last_id, -9223372036854775808) < p_mark.marked_id loop
            if v_sealed >= p_limit then
                return v_sealed;
            end if;
            v_seal.seal_id := 1 + coalesce((select max(s.seal_id) from payout.seals as s), 0);
            v_seal.seal_version := 1;
            v_seal.table_name := p_mark.table_name;
            -- From the lowest number there is: ids below 1 could be slipped in.
            v_seal.first_id := coalesce(v_seal.last_id + 1, -9223372036854775808);
            v_seal.sealed_at := p_now;
            select
                coalesce(range_agg(int8range(r.row_id, r.row_id, '[]')), '{}'),
                coalesce(string_agg(substr(r.row_sha256, 1, 8), '' order by r.row_id), ''),
                sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), '')),
                min(r.row_at), greatest(v_seal.rows_until, max(r.row_at)),
                case when count(*) < 1000 then p_mark.marked_id else max(r.row_id) end
            into v_seal.row_ids, v_seal.row_digests, v_seal.rows_sha256, v_seal.rows_from,
                v_seal.rows_until, v_seal.last_id
            from payout.sealed_rows_v1(
                p_mark.table_name, v_seal.first_id, p_mark.marked_id, 1000) as r;
            v_seal.seal_sha256 := payout.seal_sha256(v_seal);
            insert into payout.seals select v_seal.*;
            insert into payout.seal_subtotals select b.* from payout.subtotals_of(v_seal) as b;
            v_sealed := v_sealed + octet_length(v_seal.row_digests) / 8;
        end loop;
    end if;

    -- One query, hence one snapshot: its end bounds the newest row that it sees.
    update payout.seal_marks as m
    set marked_id = (
            select r.row_id from payout_api.sealed_rows as r
            where r.table_name = p_mark.table_name order by r.row_id desc limit 1),
        marked_xid = pg_snapshot_xmax(pg_current_snapshot()),
        marked_at = p_now
    where m.table_name = p_mark.table_name;
    return v_sealed;
end
$$;
comment on function payout.seal_up_to_mark(payout.seal_marks, timestamptz, integer) is
    'Seals about p_limit rows at most, a thousand under each seal, with the sub-totals of the '
    'ledger; returns the number of rows.';
