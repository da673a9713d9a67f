-- record_outcomes_apart: record outcomes, and set aside the transfers for which that fails.
--
-- Called by: report_outcomes, reads of Stripe's lists, the sweep; all hold the locks on the
-- progress rows. The usual way is one statement for all. If it raises, both halves are tried by
-- themselves, and so on, down to the one outcome that contradicts the facts of its transfer.
-- A report of a worker is a fact and is not lost: it may be the only trace of a payment.

create or replace function payout.record_outcomes_apart(p_outcomes payout.outcome[])
returns setof payout.reported
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_reports payout.reported[];
    v_error text;
    v_outcome payout.outcome;
    v_half integer := cardinality(p_outcomes) / 2;
begin
    begin
        -- Rows that are returned before the statement fails would not be taken back.
        v_reports := array(select r from payout.record_outcomes(p_outcomes) as r);
    exception
        when integrity_constraint_violation or data_exception
            or sqlstate 'SP103' or sqlstate 'SP201' then
            v_error := sqlerrm;
    end;
    if v_error is null then
        return query select * from unnest(v_reports);
    elsif v_half > 0 then
        return query select * from payout.record_outcomes_apart(p_outcomes[:v_half]);
        return query select * from payout.record_outcomes_apart(p_outcomes[v_half + 1:]);
    else
        v_outcome := p_outcomes[1];
        perform payout.set_aside(v_outcome.payout_transfer_id, v_error);
        insert into payout.discrepancies (
            kind, payout_transfer_id, stripe_transfer_id, theirs, advice)
        select 'outcome_not_stored', v_outcome.payout_transfer_id, v_outcome.stripe_transfer_id,
            jsonb_strip_nulls(to_jsonb(v_outcome) - 'claim_token'),
            'Stripe answered, and the row of the transfer contradicts its facts. Look the '
            'payout_ref up at Stripe; correct the row, and the next look-up settles the '
            'transfer.'
        where v_outcome.operator_action_id is null
            and v_outcome.signal not in ('looked_up', 'lease_expired', 'key_expired');
        return query
        select s.payout_transfer_id, v_outcome.generation, v_outcome.attempt, 'alarm',
            s.state::text
        from payout.transfer_states as s
        where s.payout_transfer_id = v_outcome.payout_transfer_id;
    end if;
end
$$;
comment on function payout.record_outcomes_apart(payout.outcome[]) is
    'Verdict and state for each outcome; alarm for one that was set aside, with a discrepancy '
    'outcome_not_stored that keeps what was reported.';
