-- verify_books: whether transfers, entries and acts agree with each other and keep their rules.
--
-- Called by: operators, auditors; after a restore, or when the doctor names a guard. It reads the
-- transfers from p_from to p_to with their entries and observations, and the holds, discrepancies,
-- rules and acts of these numbers, and says after each step how far it is: that number and one is
-- where to go on.

create or replace function payout_api.verify_books(
    p_from bigint default null, p_to bigint default null
)
returns table (check_name text, detail text, hint text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_from bigint := coalesce(p_from, -9223372036854775808);
    v_last bigint := coalesce(p_to, 9223372036854775807);
    v_to bigint;
    v_rows bigint;
    v_found bigint := 0::bigint;
begin
    loop
        v_to := payout.end_of_step(v_from, v_last);
        return query
        select * from payout.check_rules(v_from, v_to)
        union all
        select * from payout.check_entries(v_from, v_to)
        union all
        select * from payout.check_references(v_from, v_to)
        union all
        select * from payout.check_acts(v_from, v_to)
        union all
        select * from payout.check_secrets(v_from, v_to);
        get diagnostics v_rows = row_count;
        v_found := v_found + v_rows;
        exit when v_to >= v_last;
        raise notice 'transfers up to % are verified, of %; % found', v_to,
            least(v_last, (select max(t.payout_transfer_id) from payout.payout_transfers as t)),
            v_found;
        v_from := v_to + 1;
    end loop;
end
$$;
comment on function payout_api.verify_books(bigint, bigint) is
    'One row for each row with a number from p_from to p_to (null: from the first, to the last) '
    'that breaks a rule: requests, progress and entries that contradict their rows, rows without '
    'an origin, releases and resolutions without their act, secrets. None: all is well.';
grant execute on function payout_api.verify_books(bigint, bigint)
    to payout_operator, payout_auditor;
