-- act_problem: the reason why an act of an operator cannot be done with a transfer.

create or replace function payout.act_problem(
    p_signal text,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text := p_state.state::text;
    v_wait payout.holds := payout.wait_of(p_state, p_transfer);
begin
    if (p_signal, v_state) in (
            ('cancel', 'cancelled'), ('settle_outside', 'settled_outside'), ('park', 'parked'))
        or (p_signal = 'retry' and v_state in ('scheduled', 'retry_wait', 'unknown')
            and p_state.next_attempt_at <= payout.clock() and v_wait.hold_id is null) then
        return 'already';
    elsif v_state in ('paid', 'cancelled', 'settled_outside') then
        return format('it is %s: nothing is owed', replace(v_state, '_', ' '));
    elsif v_state = 'in_flight' then
        return 'a worker is sending it: wait for the answer, or for the end of its lease';
    end if;

    return case p_signal
        when 'park' then case when v_state not in ('retry_wait', 'unknown')
            then format('it is %s and not being sent: hold keeps it from being sent', v_state) end
        when 'give_up' then case when v_state <> 'parked'
            then format('it is %s: only a parked one is given up', v_state) end
        when 'retry' then case
            when payout.progress_problem(p_state) is not null
                then 'its row breaks a rule: correct it first (docs/restore.md)'
            when v_state = 'scheduled' and p_state.next_attempt_at is null
                then 'it goes out by itself when the payee has an account: register_payee'
            when v_state = 'scheduled' and (
                select m.pay_after > payout.clock()
                from payout.settlements as m
                where m.settlement_id = p_transfer.settlement_id)
                then 'its settlement is not to be paid before pay_after'
            when v_wait.awaits = 'account_change' then format(
                'its payee''s account was changed, so it waits until %s; release_hold(%s, …) ends '
                'that', date_trunc('second', v_wait.goes_on_at), v_wait.hold_id)
            when v_wait.awaits = 'cap' then 'it is over a cap: set_cap raises it' || case
                when v_wait.goes_on_at is null
                    then format('; release_hold(%s, …) lets this one pass', v_wait.hold_id)
                else '' end
            when v_state = 'failed' and payout.counted_keys(p_state) >= p_settings.max_generations
                then 'its keys are used up: change_setting(''max_generations'', …) allows more'
            when v_state = 'failed' and payout.was_seen_at_stripe(p_state.payout_transfer_id)
                then 'Stripe has shown a transfer of it: settle_outside with that tr_ id'
        end
        else case
            when v_state not in ('scheduled', 'failed')
                then 'it may be at Stripe: retry has it looked up there, and goes on by the result'
            when (v_state <> 'failed' or not payout.was_seen_at_stripe(p_state.payout_transfer_id))
                and exists (select from payout.listed_transfers as l
                    where l.payout_ref = p_transfer.payout_ref)
                then 'Stripe lists a transfer of it: ' || case v_state when 'scheduled'
                    then 'the next sweep judges that one' else 'retry has it looked up' end
            when p_signal = 'cancel' and v_state = 'failed'
                and payout.was_seen_since_given_up(p_state)
                then 'Stripe has shown a transfer of it: settle_outside with that tr_ id'
            else 'it may be at Stripe: a look at its list has to find nothing first, after '
                || date_trunc('second', payout.look_awaited_from(p_state))
                || '; this call plans it, and hold keeps it from being sent meanwhile'
        end
    end;
end
$$;
comment on function payout.act_problem(
    text, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is 'A sentence, or already; null: it can be done.';
