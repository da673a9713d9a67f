-- refuse_unsafe_account_change: refuse an account or mode that would pay twice, or not at all.
--
-- Called by: change_stripe_account, for an early answer; tg_engine_settings__check_account, whose
-- lock keeps claims and pages out.
-- Raises: SP411 transfers that the old account may have executed, or a database that has left
-- live mode and was used in test mode.

create or replace function payout.refuse_unsafe_account_change(
    p_old payout.engine_settings, p_is_livemode boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The other account would report each as never executed, also one that failed by refusals which
    -- name no key, or that two people gave up. Test mode moves no money.
    if p_old.stripe_account_id is not null and p_is_livemode and exists (
        select from payout.transfer_states as s
        where s.attempt > 0
            and (s.state in ('in_flight', 'retry_wait', 'unknown', 'parked')
                or s.state = 'failed' and exists (
                    select from payout.transfer_observations as o
                    where o.payout_transfer_id = s.payout_transfer_id
                        and o.generation = s.generation
                        and o.moved_to = 'failed'
                        and o.signal in ('response', 'give_up')
                        and (o.facts ->> 'is_tied')::boolean is not true))
    ) then
        raise exception 'transfers are open that % may have executed', p_old.stripe_account_id
            using
                errcode = 'SP411',
                hint = 'Have them settled with a key of the old account first (docs/restore.md).';
    end if;

    -- Answers of the test account say nothing about the live one.
    if p_is_livemode and exists (
        select from payout.operator_actions as a
        where a.action = 'change_stripe_account'
            and a.details @> '{"old_is_livemode": true, "is_livemode": false}'
            and (exists (
                select from payout.transfer_attempts as t where t.claimed_at > a.acted_at
            ) or exists (
                select from payout.stripe_reads as r where r.begun_at > a.acted_at
            ))
    ) then
        raise exception 'a database that was used in test mode does not go back to live mode'
            using
                errcode = 'SP411',
                hint = 'A copy that was used in test mode stays in test mode (docs/restore.md).';
    end if;
end
$$;
comment on function payout.refuse_unsafe_account_change(payout.engine_settings, boolean) is
    'Refuses a live account while transfers are open that were ever sent, or failed without an '
    'answer that names their key, and after anything was done in test mode (SP411).';
