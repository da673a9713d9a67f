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
    v_outcome payout.outcome;
    v_ours jsonb[];
    v_by_charge jsonb[];
    v_matches jsonb[];
    v_unreadable jsonb[];
begin
    with kept as (
        select distinct on (m ->> 'stripe_transfer_id', m ->> 'match') m as match
        from payout.stripe_read_pages as p
        cross join jsonb_array_elements(p.kept) as m
        where p.read_id = p_read.read_id
        order by m ->> 'stripe_transfer_id', m ->> 'match', p.page_number desc
    )
    select array_agg(k.match) filter (where k.match ->> 'match' = 'ours'),
        array_agg(k.match) filter (where k.match ->> 'match' = 'by charge' and not exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = k.match ->> 'stripe_transfer_id'
                and s.payout_transfer_id <> p_state.payout_transfer_id)),
        array_agg(k.match) filter (where k.match ->> 'match' = 'unreadable')
    into v_ours, v_by_charge, v_unreadable
    from kept as k;
    v_matches := coalesce(v_ours, v_by_charge, '{}');

    if cardinality(v_matches) = 1 then
        v_outcome := jsonb_populate_record(v_outcome, v_matches[1]);
    elsif cardinality(v_matches) > 1 then
        v_outcome.detail := (
            select string_agg(m ->> 'stripe_transfer_id', ', ') from unnest(v_matches) as m);
    elsif v_unreadable is null then
        v_outcome.first_absence_id := payout.first_absence(p_read);
    end if;
    v_outcome.payout_transfer_id := p_state.payout_transfer_id;
    v_outcome.generation := p_state.generation;
    v_outcome.attempt := p_state.attempt;
    v_outcome.signal := 'looked_up';
    v_outcome.read_id := p_read.read_id;
    v_outcome.found := case
        when v_matches <> '{}' or v_unreadable is null then cardinality(v_matches)
    end;
    return v_outcome;
end
$$;
comment on function payout.lookup_outcome(payout.stripe_reads, payout.transfer_states) is
    'The number of transfers found, and the facts of the transfer if it is one; null: it cannot be '
    'told.';
