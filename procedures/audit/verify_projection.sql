-- verify_projection: compare transfer_states with the facts.
--
-- It reads the transfers from p_from to p_to with all their facts, and says after each step how far
-- it is: that number and one is where to go on.

create or replace function payout_api.verify_projection(
    p_from bigint default null, p_to bigint default null
)
returns table (payout_transfer_id bigint, column_name text, stored text, folded text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_nestloop = off
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
        return query select * from payout.check_projection(v_from, v_to);
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
comment on function payout_api.verify_projection(bigint, bigint) is
    'One row for each difference between transfer_states (stored) and the fold of the facts '
    '(folded), of the transfers from p_from to p_to (null: from the first, to the last); column '
    'money compares the account that the state implies with the books. None: all is well.';
grant execute on function payout_api.verify_projection(bigint, bigint)
    to payout_operator, payout_auditor;
