-- report_outcomes: take the outcomes that workers report, judge them, keep the books.
--
-- Called by: worker. One call serves many transfers.
-- Safe to repeat: a report that was taken before answers `already`. An outcome that cannot be
-- stored with its transfer is kept in a discrepancy, and the others are taken.
-- Locks: the transfers' progress rows, in id order.
-- Raises: SP312 malformed outcomes; then nothing of the call is taken.

create or replace function payout_api.report_outcomes(p_outcomes jsonb)
returns table (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    verdict text,
    state text
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    v_outcomes payout.outcome[] := payout.read_outcomes(p_outcomes);
    v_reports payout.reported[];
    v_outcome payout.outcome;
begin
    begin
        v_reports := array(select r from payout.take_outcomes(v_outcomes) as r);
    exception
        when integrity_constraint_violation or data_exception
            or sqlstate 'SP103' or sqlstate 'SP201' then
            -- One contradicts its facts, or two each other: they are taken one by one, in the order
            -- of locks.
            v_reports := '{}';
            foreach v_outcome in array array(
                select v_outcomes[i]
                from generate_subscripts(v_outcomes, 1) as i
                order by (v_outcomes[i]).payout_transfer_id, i)
            loop
                v_reports := v_reports || payout.take_outcome_apart(v_outcome);
            end loop;
    end;
    return query select * from unnest(v_reports);
end
$$;
comment on function payout_api.report_outcomes(jsonb) is
    'Takes an array of payout.outcome objects, stores every one, and answers ok, already, stale or '
    'alarm and the state for each.';
revoke execute on function payout_api.report_outcomes(jsonb) from public;
grant execute on function payout_api.report_outcomes(jsonb) to payout_worker;
