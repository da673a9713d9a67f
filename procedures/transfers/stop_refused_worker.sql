-- stop_refused_worker: hold the worker whose key Stripe refuses, or the engine.
--
-- A key that Stripe does not take is its worker's own: another worker that has it shows that by
-- itself. Any other refusal is one worker's while another worker, which is not on hold itself, is
-- paid out to by Stripe. The newest thousand observations tell.

create or replace function payout.stop_refused_worker(p_outcome payout.outcome, p_reason text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker text := (
        select a.worker
        from payout.transfer_attempts as a
        where a.payout_transfer_id = p_outcome.payout_transfer_id
            and a.attempt = p_outcome.attempt);
begin
    if p_reason = 'stripe_key_refused' or exists (
        select
        from payout.transfer_observations as o
        join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
            and a.attempt = o.attempt
        where o.observation_id > (
                select max(n.observation_id) - 1000 from payout.transfer_observations as n)
            and o.signal = 'response'
            and o.moved_to = 'paid'
            and o.observed_at > payout.clock() - (
                select e.alarm_window_for from payout.engine_settings as e)
            and a.worker <> v_worker
            and not exists (
                select from payout.holds as h
                where h.scope = 'worker' and h.subject = a.worker and h.released_at is null
            )
    ) then
        perform payout.place_hold('worker', v_worker, p_reason);
    else
        perform payout.place_hold('engine', null, p_reason);
    end if;
end
$$;
comment on function payout.stop_refused_worker(payout.outcome, text) is
    'Places a hold on the worker of the attempt, if its key is refused or another worker succeeded '
    'within engine_settings.alarm_window_for, else on the engine.';
