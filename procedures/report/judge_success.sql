-- judge_success: judge a transfer that Stripe says it made, in an answer or in its list.
--
-- It counts when it is the very transfer that was asked for (its payout_ref is made with the
-- installation's id, and names settlement and payee), under the current key, whichever attempt
-- made it. Metadata that were edited may name another transfer of ours: group and charge, which
-- nobody can edit, tell. Everything else is an alarm: it is stored, operators are notified, and
-- nothing more is sent for this transfer meanwhile.

create or replace function payout.judge_success(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_destinations text[],
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    v_judgement.reason := case
        when not coalesce(
            p_outcome.object = 'transfer'
            and p_outcome.stripe_transfer_id is not null
            and p_outcome.amount_minor = p_transfer.amount_minor
            and p_outcome.currency = p_transfer.currency
            and p_outcome.destination = any (p_destinations)
            and p_outcome.payout_ref = p_transfer.payout_ref
            and coalesce(p_outcome.belongs_to, p_transfer.payout_ref) = p_transfer.payout_ref
            and (p_outcome.source_transaction is null
                or p_outcome.source_transaction = p_transfer.source_transaction)
            and p_outcome.payout_engine = p_settings.installation_id
            and p_outcome.is_livemode is not null
            and coalesce(p_outcome.is_livemode = p_settings.is_livemode, true),
            false) then 'answer_contradicts_request'
        when p_state.stripe_transfer_id = p_outcome.stripe_transfer_id then 'known'
        when p_state.state = 'paid' then 'second_transfer_at_stripe'
        when p_outcome.generation <> p_state.generation
            or p_state.state in ('failed', 'cancelled', 'settled_outside')
            then 'success_under_closed_key'
        when exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = p_outcome.stripe_transfer_id
        ) then 'stripe_id_of_another_transfer'
    end;

    if v_judgement.reason is null then
        v_judgement.verdict := 'ok';
        v_judgement.to_state := 'paid';
    elsif v_judgement.reason = 'known' or exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.attempt = p_outcome.attempt
            and o.generation = p_outcome.generation
            and o.verdict = 'alarm'
            and o.stripe_transfer_id is not distinct from p_outcome.stripe_transfer_id
    ) then
        v_judgement.verdict := 'already';
        v_judgement.reason := null;
    else
        v_judgement.verdict := 'alarm';
        v_judgement.is_alarm := true;
        if p_state.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown') then
            v_judgement.to_state := 'parked';
            v_judgement.leaves_unknown := true;
        end if;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_success(
    payout.outcome, payout.transfer_states, payout.payout_transfers, text[],
    payout.engine_settings
) is 'Paid, already known, or an alarm, which parks a transfer that is open.';
