-- record_listed_transfers: judge listed transfers as successes, so that ours become paid.
--
-- Each is judged once: it pays, or is an alarm, after which no key is opened (was_seen_at_stripe).
-- Two with one payout_ref are judged one after the other: the second is an alarm.
-- Called by: take_listed_transfers; judge_listed_transfers; at the end of a comparison with all,
-- as a claim may have sent one while the page that lists it was being stored.
-- Locks: the transfers' progress rows, in id order.

create or replace function payout.record_listed_transfers(p_stripe_transfer_ids text[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids text[];
    v_outcomes payout.outcome[];
    v_alarms integer := 0;
begin
    v_ids := array(
        select l.stripe_transfer_id
        from unnest(p_stripe_transfer_ids) as i (stripe_transfer_id)
        join payout.listed_transfers as l on l.stripe_transfer_id = i.stripe_transfer_id
        join payout.payout_transfers as t on t.payout_ref = l.payout_ref
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where s.stripe_transfer_id is distinct from l.stripe_transfer_id
            -- The sweep opens its next key first.
            and (s.state <> 'failed' or s.next_attempt_at is null)
            -- No join, which may read the whole history.
            and (
                select min(o.observation_id)
                from payout.transfer_observations as o
                where o.payout_transfer_id = t.payout_transfer_id
                    and o.stripe_transfer_id = l.stripe_transfer_id
                    and o.signal = 'looked_up'
            ) is null
        order by s.payout_transfer_id
        for update of s);
    if v_ids = '{}' then
        return 0;
    end if;

    for v_outcomes in
        select array_agg(jsonb_populate_record(null::payout.outcome, to_jsonb(j.listed)
            || jsonb_build_object('payout_transfer_id', j.payout_transfer_id,
                'generation', j.generation, 'attempt', j.attempt, 'signal', 'looked_up',
                'object', 'transfer', 'found', 1, 'payout_ref', (j.listed).named_payout_ref,
                'payout_engine', (j.listed).named_engine,
                'detail', 'read ' || (j.listed).read_id)))
        from (
            select l as listed, s.payout_transfer_id, s.generation, s.attempt, row_number() over (
                partition by s.payout_transfer_id order by l.created_at, l.stripe_transfer_id
            ) as turn
            from payout.listed_transfers as l
            join payout.payout_transfers as t on t.payout_ref = l.payout_ref
            join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
            where l.stripe_transfer_id = any (v_ids)
        ) as j
        group by j.turn
        order by j.turn
    loop
        v_alarms := v_alarms + (
            select count(*) filter (where r.verdict = 'alarm')
            from payout.record_outcomes_apart(v_outcomes) as r)::integer;
    end loop;
    perform payout.resolve_paid(v_ids);
    return v_alarms;
end
$$;
comment on function payout.record_listed_transfers(text[]) is
    'Judges stored listed transfers that are known here; returns the number of alarms.';
