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
set plan_cache_mode = force_generic_plan
as $$
begin
    return query select * from payout.take_outcomes(payout.read_outcomes(p_outcomes));
end
$$;
comment on function payout_api.report_outcomes(jsonb) is
    'Takes an array of payout.outcome objects, stores every one, and answers ok, already, stale or '
    'alarm and the state for each.';
revoke execute on function payout_api.report_outcomes(jsonb) from public;
grant execute on function payout_api.report_outcomes(jsonb) to payout_worker;
