-- seal_up_to_mark: seal a table up to its mark, then set the next mark.
--
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
    v_seal payout.seals;
    v_last_id bigint;
    v_sealed integer := 0;
begin
    -- A mark out of the future is of another cluster, or of a clock that was set back.
    if p_mark.marked_at <= p_now
        and p_mark.marked_xid <= pg_snapshot_xmax(pg_current_snapshot()) then
        if p_mark.marked_xid > pg_snapshot_xmin(pg_current_snapshot()) then
            return 0;
        end if;
        v_last_id := coalesce((
            select max(s.last_id) from payout.seals as s where s.table_name = p_mark.table_name),
            -9223372036854775808);
        while v_last_id < p_mark.marked_id loop
            if v_sealed >= p_limit then
                return v_sealed;
            end if;
            v_seal := payout.add_seal(p_mark.table_name, p_mark.marked_id, 1000, p_now);
            v_last_id := v_seal.last_id;
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
    'Seals about p_limit rows at most; returns the number of rows.';
