-- lookup_outcome: the result of a complete look-up as an outcome to be judged.
--
-- A transfer that several queries or pages list counts once. A match by charge counts only where
-- no transfer names the payout_ref.

create or replace function payout.lookup_outcome(
    p_lookup payout.transfer_lookups, p_state payout.transfer_states
)
returns payout.outcome
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_matches jsonb[] := array(
        select distinct on (m ->> 'stripe_transfer_id') m
        from payout.transfer_lookup_pages as p
        cross join jsonb_array_elements(p.matches) as m
        where p.lookup_id = p_lookup.lookup_id
        order by m ->> 'stripe_transfer_id', p.received_at desc);
    v_outcome payout.outcome;
    v_ours jsonb[] := array(
        select m from unnest(v_matches) as m where m ->> 'is_by_charge' is distinct from 'true');
begin
    if v_ours <> '{}' then
        v_matches := v_ours;
    end if;
    if cardinality(v_matches) = 1 then
        v_outcome := jsonb_populate_record(v_outcome, v_matches[1]);
    elsif cardinality(v_matches) > 1 then
        v_outcome.detail := (
            select string_agg(m ->> 'stripe_transfer_id', ', ') from unnest(v_matches) as m);
    else
        v_outcome.first_absence_id := payout.first_absence(p_lookup);
    end if;
    v_outcome.payout_transfer_id := p_state.payout_transfer_id;
    v_outcome.generation := p_state.generation;
    v_outcome.attempt := p_state.attempt;
    v_outcome.signal := 'looked_up';
    v_outcome.lookup_id := p_lookup.lookup_id;
    v_outcome.found := cardinality(v_matches);
    return v_outcome;
end
$$;
comment on function payout.lookup_outcome(payout.transfer_lookups, payout.transfer_states) is
    'The number of transfers found, and the facts of the transfer if it is one.';
