-- reopen_failed: give failed transfers a new key when it is due, on the evidence that allows it.
--
-- A new key is opened only if the former one ended in a decline that Stripe has saved, with no
-- other attempt open (judge_failure saw to it), and a look after it found nothing; or if it was
-- proved absent (judge_absence); and no key of this transfer ever saw a success. An observation
-- names the evidence, which the first claim of the key notes with its request.

create or replace function payout.reopen_failed(
    p_now timestamptz, p_limit integer, p_ids bigint[]
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[];
begin
    v_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where (p_ids is null or s.payout_transfer_id = any (p_ids))
            and s.next_attempt_at <= p_now
            and s.state = 'failed'
            and s.generation < e.max_generations
            and payout.evidence_for_new_key(s) is not null
            and not payout.was_seen_at_stripe(s.payout_transfer_id)
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked);

    insert into payout.transfer_observations (
        payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason, facts,
        next_attempt_at)
    select s.payout_transfer_id, s.generation + 1, s.attempt, 'key_opened', 'ok', 'scheduled',
        s.reason,
        jsonb_strip_nulls(jsonb_build_object(
            'evidence_observation_id', k.evidence[1],
            'second_evidence_observation_id', k.evidence[2])),
        s.next_attempt_at
    from payout.transfer_states as s
    cross join lateral payout.evidence_for_new_key(s) as k (evidence)
    where s.payout_transfer_id = any (v_ids);

    with reopened as (
        update payout.transfer_states as s
        set state = 'scheduled',
            generation = s.generation + 1,
            window_begins_at = null,
            tries = 0,
            has_unknown_send = false,
            reason = null,
            changed_at = p_now
        where s.payout_transfer_id = any (v_ids)
        returning s.payout_transfer_id, s.generation
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select r.payout_transfer_id, 'reserve', r.generation, 'payable:' || t.payee_id, 'in_flight',
        t.amount_minor, t.currency
    from reopened as r
    join payout.payout_transfers as t on t.payout_transfer_id = r.payout_transfer_id;

    return cardinality(v_ids);
end
$$;
comment on function payout.reopen_failed(timestamptz, integer, bigint[]) is
    'Opens the next key for up to p_limit transfers (of these, if given); returns how many.';
