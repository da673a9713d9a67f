-- lookup_outcome: the result of a complete look-up as an outcome to be judged.
--
-- A transfer that several queries or pages list counts once. A match by charge counts only where
-- no transfer of ours was found, and no other paid transfer here explains it. With nothing found,
-- an object that could not be read leaves open whether the transfer is there.

create or replace function payout.lookup_outcome(
    p_read payout.stripe_reads, p_state payout.transfer_states
)
returns payout.outcome
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_matches jsonb[];
    v_found integer;
begin
    with kept as (
        select distinct on (m ->> 'stripe_transfer_id', m ->> 'match') m as match,
            array_position(array['ours', 'by charge', 'unreadable'], m ->> 'match') as rank
        from payout.stripe_read_pages as p
        cross join jsonb_array_elements(p.kept) as m
        where p.read_id = p_read.read_id
            and (m ->> 'match' <> 'by charge' or not exists (
                select from payout.transfer_states as s
                where s.stripe_transfer_id = m ->> 'stripe_transfer_id'
                    and s.payout_transfer_id <> p_state.payout_transfer_id))
        order by m ->> 'stripe_transfer_id', m ->> 'match', p.page_number desc
    )
    select array_agg(k.match), case when max(k.match ->> 'match') is distinct from 'unreadable'
        then count(*)::integer end
    into v_matches, v_found
    from kept as k
    where k.rank = (select min(n.rank) from kept as n);

    return jsonb_populate_record(null::payout.outcome,
        case when v_found = 1 then v_matches[1] else '{}' end || jsonb_build_object(
            'payout_transfer_id', p_state.payout_transfer_id,
            'generation', p_state.generation,
            'attempt', p_state.attempt,
            'signal', 'looked_up',
            'read_id', p_read.read_id,
            'found', v_found,
            'detail', case when v_found > 1 then (
                select string_agg(m ->> 'stripe_transfer_id', ', ') from unnest(v_matches) as m)
            end,
            'first_absence_id', case when v_found = 0 then payout.first_absence(p_read) end));
end
$$;
comment on function payout.lookup_outcome(payout.stripe_reads, payout.transfer_states) is
    'The number of transfers found, and the facts of the transfer if it is one; null: it cannot be '
    'told.';
