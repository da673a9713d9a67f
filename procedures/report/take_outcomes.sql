-- take_outcomes: lock the transfers of reported outcomes, judge and record each.
--
-- Called by: report_outcomes.
-- Locks: the transfers' progress rows, in id order; then as slow_down says.

create or replace function payout.take_outcomes(p_outcomes payout.outcome[])
returns setof payout.reported
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_turns bigint[];
    v_known_ids bigint[];
begin
    v_known_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (array(
            select o.payout_transfer_id from unnest(p_outcomes) as o))
        order by s.payout_transfer_id
        for update);

    -- Two outcomes of one transfer are judged one after the other.
    v_turns := array(
        select row_number() over (partition by o.payout_transfer_id order by o.ordinality)
        from unnest(p_outcomes) with ordinality as o
        order by o.ordinality);

    for v_turn in 1 .. (
        select coalesce(max(t.turn), 0)::integer from unnest(v_turns) as t (turn)
    ) loop
        return query
        select * from payout.record_outcomes_apart(array(
            select p_outcomes[i]
            from generate_subscripts(p_outcomes, 1) as i
            where v_turns[i] = v_turn and (p_outcomes[i]).payout_transfer_id = any (v_known_ids)));
    end loop;

    if exists (
        select from unnest(p_outcomes) as o where o.http_status between 400 and 499
    ) then
        begin
            perform payout.slow_down(v_known_ids);
        exception
            when integrity_constraint_violation or data_exception
                or sqlstate 'SP103' or sqlstate 'SP201' then
                -- What Stripe answered is kept; the next decline begins the wait.
                perform payout.notify_operators('no_wait_was_begun', sqlerrm);
        end;
    end if;
    if exists (
        select from unnest(p_outcomes) as o where o.payout_transfer_id <> all (v_known_ids)
    ) then
        return query
        select * from payout.record_unknown_transfers(array(
            select p_outcomes[i]
            from generate_subscripts(p_outcomes, 1) as i
            where (p_outcomes[i]).payout_transfer_id <> all (v_known_ids)));
    end if;
end
$$;
comment on function payout.take_outcomes(payout.outcome[]) is
    'Stores outcomes, also of unknown transfers, and answers verdict and state for each.';
