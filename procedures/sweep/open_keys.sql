-- open_keys: schedule failed transfers under their next key, and reserve their money again.
--
-- Called by: reopen_failed, which has chosen and locked them. They are due from now on: however
-- long they waited, the evidence is a look at Stripe's list. An observation names it, and the first
-- claim of the key notes it with its request. Where it fails, both halves are tried by themselves,
-- and so on, down to the one transfer whose rows contradict each other.

create or replace function payout.open_keys(p_now timestamptz, p_payout_transfer_ids bigint[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_half integer := cardinality(p_payout_transfer_ids) / 2;
begin
    insert into payout.transfer_observations (
        payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason, facts,
        next_attempt_at)
    select s.payout_transfer_id, s.generation + 1, s.attempt, 'key_opened', 'ok', 'scheduled',
        s.reason,
        jsonb_strip_nulls(jsonb_build_object(
            'evidence_observation_id', k.evidence[1],
            'second_evidence_observation_id', k.evidence[2])),
        p_now
    from payout.transfer_states as s
    cross join lateral payout.evidence_for_new_key(s) as k (evidence)
    where s.payout_transfer_id = any (p_payout_transfer_ids);

    with reopened as (
        update payout.transfer_states as s
        set state = 'scheduled',
            generation = s.generation + 1,
            window_begins_at = null,
            tries = 0,
            has_unknown_send = false,
            next_attempt_at = p_now,
            reason = null,
            changed_at = p_now
        where s.payout_transfer_id = any (p_payout_transfer_ids)
        returning s.payout_transfer_id, s.generation
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select r.payout_transfer_id, 'reserve', r.generation, 'payable:' || t.payee_id, 'in_flight',
        t.amount_minor, t.currency
    from reopened as r
    join payout.payout_transfers as t on t.payout_transfer_id = r.payout_transfer_id;

    return cardinality(p_payout_transfer_ids);
exception
    when integrity_constraint_violation or data_exception
        or sqlstate 'SP103' or sqlstate 'SP201' then
        if v_half = 0 then
            perform payout.set_aside(p_payout_transfer_ids[1], sqlerrm);
            return 0;
        end if;
        return payout.open_keys(p_now, p_payout_transfer_ids[:v_half])
            + payout.open_keys(p_now, p_payout_transfer_ids[v_half + 1:]);
end
$$;
comment on function payout.open_keys(timestamptz, bigint[]) is
    'Opens the next key of these transfers; returns of how many.';
