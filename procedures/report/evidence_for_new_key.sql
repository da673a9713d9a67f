-- evidence_for_new_key: the observations that allow a failed transfer its next key.
--
-- A decline may have been a copy of another answer, though it names our key. So a look at Stripe's
-- list that began after it must have found nothing of ours: after one that Stripe saved, any look;
-- after another, and after two people gave the key up, one that began once everything sent is over.
-- That holds as well where they gave a key up that Stripe may execute later. A proof of absence is
-- two looks itself, or one of a transfer that never left.

create or replace function payout.evidence_for_new_key(p_state payout.transfer_states)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when d.signal = 'looked_up' then array_remove(
            array[(d.facts ->> 'first_absence_id')::bigint, d.observation_id], null)
        else (
            select array[d.observation_id, max(o.observation_id)]
            from payout.transfer_observations as o
            join payout.stripe_reads as r on r.read_id = (o.facts ->> 'read_id')::bigint
            where o.payout_transfer_id = d.payout_transfer_id
                and o.generation = d.generation
                and o.signal = 'looked_up'
                and o.verdict = 'ok'
                and o.facts ->> 'found' = '0'
                and r.begun_at >= case
                    when payout.is_saved(
                        (d.facts ->> 'is_tied')::boolean, d.is_replayed, d.facts ->> 'should_retry')
                        then d.observed_at
                    else greatest(
                        d.observed_at, payout.sends_over_at(d.payout_transfer_id))
                end
            having count(*) > 0
        )
    end
    from payout.end_of_key(p_state) as d
$$;
comment on function payout.evidence_for_new_key(payout.transfer_states) is
    'Ids of the end of the key and of the look after it, or of the scans that prove absence; null: '
    'there is no evidence yet.';
