-- progress_problem: the rule that a row of transfer_states breaks.
--
-- Called by: the triggers that refuse such a row; verify_books, which finds rows that were written
-- while the triggers were off; all that write many rows at once, and pass such a one by.

create or replace function payout.progress_problem(p_state payout.transfer_states)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when p_state.generation < 1 then 'generation_counts_from_one'
        when p_state.attempt < 0 then 'attempt_counts_from_zero'
        when p_state.tries < 0 then 'tries_count_from_zero'
        when (p_state.state = 'in_flight') <> (p_state.lease_until is not null)
            then 'only_in_flight_has_a_lease'
        when p_state.state = 'in_flight' and p_state.window_begins_at is null
            then 'in_flight_has_been_sent'
        when (p_state.state = 'paid') <> (p_state.stripe_transfer_id is not null)
            then 'paid_names_its_transfer'
        when p_state.state in ('retry_wait', 'unknown')
            and p_state.next_attempt_at is null then 'waiting_names_its_next_attempt'
        -- Before the payee has an account there is no date, and only then.
        when p_state.state = 'scheduled' and (p_state.next_attempt_at is null)
            <> (p_state.reason is not distinct from 'awaiting_account')
            then 'scheduled_has_a_date_or_awaits_an_account'
        when p_state.state in ('in_flight', 'parked', 'paid', 'cancelled', 'settled_outside')
            and p_state.next_attempt_at is not null then 'resting_has_no_next_attempt'
        when p_state.hold_id is not null
            and p_state.state not in ('scheduled', 'retry_wait', 'unknown', 'failed')
            then 'only_waiting_is_on_hold'
        when p_state.state in ('parked', 'failed') and p_state.reason is null
            then 'parked_and_failed_say_why'
        when p_state.state not in ('scheduled', 'parked', 'failed')
            and p_state.next_lookup_at is not null then 'only_resting_is_looked_up'
    end;
end
$$;
comment on function payout.progress_problem(payout.transfer_states) is
    'The first rule about counters, lease, next steps, Stripe''s id and reason that a row breaks, '
    'or null.';
