-- report_outcomes: take the outcomes that workers report, judge them, keep the books.
--
-- Called by: worker. One call serves many transfers.
-- Safe to repeat: a report that was taken before answers `already`. An outcome that cannot be
-- stored with its transfer is kept in a discrepancy, and the others are taken.
-- Locks: the transfers' progress rows, in id order; then as slow_down says.
-- Raises: SP312 malformed outcomes; then nothing of the call is taken.

create or replace function payout_api.report_outcomes(p_outcomes jsonb)
returns setof payout.reported
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
declare
    v_turns bigint[];
    v_known_ids bigint[];
    v_reports payout.reported[] := '{}'::payout.reported[];
    v_outcomes payout.outcome[] := payout.read_outcomes(p_outcomes);
begin
    v_known_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (array(
            select o.payout_transfer_id from unnest(v_outcomes) as o))
        order by s.payout_transfer_id
        for update);

    -- Two outcomes of one transfer are judged one after the other.
    v_turns := array(
        select row_number() over (partition by o.payout_transfer_id order by o.ordinality)
        from unnest(v_outcomes) with ordinality as o
        order by o.ordinality);

    for v_turn in 1 .. (
        select coalesce(max(t.turn), 0)::integer from unnest(v_turns) as t (turn)
    ) loop
        v_reports := v_reports || array(
            select r
            from payout.record_outcomes_apart(array(
                select v_outcomes[i]
                from generate_subscripts(v_outcomes, 1) as i
                where v_turns[i] = v_turn
                    and (v_outcomes[i]).payout_transfer_id = any (v_known_ids))) as r);
    end loop;
    return query select * from unnest(v_reports);

    if exists (
        select from unnest(v_outcomes) as o where o.http_status between 400 and 499
    ) then
        begin
            -- Of the others nothing new was stored: their newest outcome is an old one.
            perform payout.slow_down(array(
                select r.payout_transfer_id from unnest(v_reports) as r where r.verdict = 'ok'));
        exception
            when integrity_constraint_violation or data_exception
                or sqlstate 'SP103' or sqlstate 'SP201' then
                -- What Stripe answered is kept; the next decline begins the wait.
                perform payout.notify_operators('no_wait_was_begun', sqlerrm);
        end;
    end if;
    if exists (
        select from unnest(v_outcomes) as o where o.payout_transfer_id <> all (v_known_ids)
    ) then
        return query
        select * from payout.record_unknown_transfers(array(
            select v_outcomes[i]
            from generate_subscripts(v_outcomes, 1) as i
            where (v_outcomes[i]).payout_transfer_id <> all (v_known_ids)));
    end if;
end
$$;
comment on function payout_api.report_outcomes(jsonb) is
    'Takes an array of payout.outcome objects, stores every one, and answers ok, already, stale or '
    'alarm and the state for each.';
grant execute on function payout_api.report_outcomes(jsonb) to payout_worker;
