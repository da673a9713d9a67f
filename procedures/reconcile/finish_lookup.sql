-- finish_lookup: judge a complete look-up, and plan the next if the transfer stays parked.
--
-- Look-ups become rarer the longer a transfer is parked, but one is due as soon as it counts for
-- a proof of absence. A look that began before the transfer came into its state, under a worker
-- that slept, leaves the next one planned: it is no evidence. A transfer that is found resolves no
-- discrepancy about another one. One that is found before its first send was sent by another
-- database (stop_beside_another).
-- Locks: the transfer's progress row.

create or replace function payout.finish_lookup(p_read payout.stripe_reads)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads := p_read;
    v_state payout.transfer_states;
    v_outcome payout.outcome;
    v_listed payout.stripe_transfer;
    v_counts_from timestamptz;
begin
    select * into strict v_state
    from payout.transfer_states as s
    where s.payout_transfer_id = p_read.payout_transfer_id
    for update;
    v_outcome := payout.lookup_outcome(p_read, v_state);
    v_listed := jsonb_populate_record(v_listed, to_jsonb(v_outcome)
        || jsonb_build_object('belongs_to', v_outcome.payout_ref));
    if v_outcome.found = 1 and v_state.state = 'scheduled' then
        perform payout.stop_beside_another(array[v_listed], p_read.read_id);
    end if;
    select format('look-up of transfer %s: %s, %s', v_state.payout_transfer_id, r.verdict, r.state),
        r.verdict = 'alarm', coalesce(v_outcome.found, 0)::bigint
    into strict v_read.result, v_read.is_alarm, v_read.objects_found
    from payout.record_outcomes_apart(array[v_outcome]) as r;

    v_counts_from := payout.absence_counts_from(v_state.payout_transfer_id);
    update payout.transfer_states as s
    set next_lookup_at = case s.state
        when 'parked' then payout.clock() + greatest(
            e.scans_apart_for,
            case
                when p_read.begun_at < v_counts_from then
                    least((payout.clock() - s.changed_at) / 4, v_counts_from - payout.clock())
                when v_counts_from is null or s.reason = 'absence_awaits_approval'
                    then (payout.clock() - s.changed_at) / 4
            end)
        when 'failed' then case
            -- A look after the decline is evidence, long after one that Stripe did not save.
            when s.next_attempt_at is not null and s.hold_id is null
                and payout.evidence_for_new_key(s) is null
                then greatest(payout.clock() + interval '10 minutes',
                    payout.sends_over_at(s.payout_transfer_id))
        end
        else case when v_outcome.found is null or p_read.begun_at < v_state.changed_at
            then s.next_lookup_at end
    end
    from payout.engine_settings as e
    where s.payout_transfer_id = v_state.payout_transfer_id
        and s.state in ('parked', 'failed', 'scheduled');

    if v_outcome.found = 1 then
        perform payout.note_reversals(array[v_listed]);
        perform payout.resolve_paid(array[v_outcome.stripe_transfer_id]);
    end if;
    return v_read;
end
$$;
comment on function payout.finish_lookup(payout.stripe_reads) is
    'Returns the read with verdict and state as its result, and the number of transfers found.';
