-- finish_lookup: judge a complete look-up once, and plan the next if the transfer stays parked.
--
-- Called by: report_lookup_page, which holds the lock of the transfer.
-- Look-ups become rarer the longer a transfer is parked, but one is due as soon as it counts for
-- a proof of absence. A transfer that is found resolves no discrepancy about another one.

create or replace function payout.finish_lookup(
    p_lookup payout.transfer_lookups, p_state payout.transfer_states
)
returns table (verdict text, state text)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_outcome payout.outcome := payout.lookup_outcome(p_lookup, p_state);
    v_counts_from timestamptz;
begin
    return query
    select o.verdict, coalesce(o.moved_to, p_state.state)::text
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.facts ->> 'lookup_id' = p_lookup.lookup_id::text;
    if found then
        return;
    end if;

    return query
    select r.verdict, r.state from payout.record_outcomes(array[v_outcome]) as r;

    v_counts_from := payout.absence_counts_from(p_state.payout_transfer_id);
    update payout.transfer_states as s
    set next_lookup_at = payout.clock() + greatest(
        e.scans_apart_for,
        case
            when p_lookup.begun_at < v_counts_from then
                least((payout.clock() - s.changed_at) / 4, v_counts_from - payout.clock())
            when v_counts_from is null or s.reason = 'absence_awaits_approval' then
                (payout.clock() - s.changed_at) / 4
        end)
    from payout.engine_settings as e
    where s.payout_transfer_id = p_state.payout_transfer_id
        and s.state = 'parked';

    if v_outcome.found = 1 then
        perform payout.note_reversals(array[
            jsonb_populate_record(null::payout.listed_transfers, to_jsonb(v_outcome))]);
        update payout.discrepancies as d
        set resolved_at = payout.clock(),
            resolved_by = 'engine',
            resolution = format('Stripe has it as %s, as it was asked for.',
                v_outcome.stripe_transfer_id)
        from payout.transfer_states as s
        where d.payout_transfer_id = p_state.payout_transfer_id
            and d.resolved_at is null
            and (d.stripe_transfer_id is null or d.stripe_transfer_id = s.stripe_transfer_id)
            and d.kind <> 'several_transfers_at_stripe'
            and s.payout_transfer_id = p_state.payout_transfer_id
            and s.stripe_transfer_id = v_outcome.stripe_transfer_id;
    end if;
end
$$;
comment on function payout.finish_lookup(payout.transfer_lookups, payout.transfer_states) is
    'Returns verdict and state: paid, known, an alarm, absent or given up.';
