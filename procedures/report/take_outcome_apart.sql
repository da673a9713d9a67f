-- take_outcome_apart: take one outcome; if that fails, keep it and set its transfer aside.
--
-- Called by: report_outcomes, once its outcomes together have raised an error. The answer of
-- Stripe's is a fact and is not lost: it may be the only trace of a payment.

create or replace function payout.take_outcome_apart(p_outcome payout.outcome)
returns payout.reported[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(select r from payout.take_outcomes(array[p_outcome]) as r);
exception
    when integrity_constraint_violation or data_exception
        or sqlstate 'SP103' or sqlstate 'SP201' then
        perform payout.set_aside(p_outcome.payout_transfer_id, sqlerrm);
        insert into payout.discrepancies (
            kind, payout_transfer_id, stripe_transfer_id, theirs, advice)
        values ('outcome_not_stored', p_outcome.payout_transfer_id, p_outcome.stripe_transfer_id,
            jsonb_strip_nulls(to_jsonb(p_outcome) - 'claim_token'),
            'Stripe answered, and the row of the transfer contradicts its facts. Look the '
            'payout_ref up at Stripe; correct the row, and the next look-up settles the '
            'transfer.');
        return array(
            select row(s.payout_transfer_id, p_outcome.generation, p_outcome.attempt, 'alarm',
                s.state)::payout.reported
            from payout.transfer_states as s
            where s.payout_transfer_id = p_outcome.payout_transfer_id);
end
$$;
comment on function payout.take_outcome_apart(payout.outcome) is
    'Answers as take_outcomes does, or alarm after the outcome was kept in a discrepancy '
    'outcome_not_stored.';
