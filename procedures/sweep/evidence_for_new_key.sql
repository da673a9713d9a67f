-- evidence_for_new_key: the observations that allow a failed transfer its next key.
--
-- A decline may have been a copy of another answer, even if it names our key. So a look at Stripe's
-- list that began after it must have found nothing of ours. Where Stripe did not save the decline,
-- the look counts once everything that was sent is over (absence_counts_from): a decline that names
-- no key says nothing of a request that may still be carried out. A proof of absence is such a look
-- itself.

create or replace function payout.evidence_for_new_key(p_state payout.transfer_states)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (select array[d.observation_id, max(o.observation_id)]
            from payout.believed_decline(p_state) as d
            join payout.transfer_observations as o
                on o.payout_transfer_id = d.payout_transfer_id
                and o.generation = d.generation
                and o.signal = 'looked_up'
                and o.verdict = 'ok'
                and o.facts ->> 'found' = '0'
            join payout.stripe_reads as r on r.read_id = (o.facts ->> 'read_id')::bigint
                and r.begun_at >= d.observed_at
            where payout.is_saved(
                    (d.facts ->> 'is_tied')::boolean, d.is_replayed, d.facts ->> 'should_retry')
                or r.begun_at >= payout.absence_counts_from(d.payout_transfer_id)
            group by d.observation_id),
        payout.proof_of_absence(p_state))
$$;
comment on function payout.evidence_for_new_key(payout.transfer_states) is
    'Ids of the decline under the present key and of the look after it, or of the scans that prove '
    'absence; null: there is no evidence yet.';
