-- park_listed_transfer: park scheduled transfers that Stripe has already, before they are sent.
--
-- Called by: record_listed_transfers, which holds the locks and judges them next: from `parked` a
-- success that was found counts as any other.

create or replace function payout.park_listed_transfer(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    with parked as (
        update payout.transfer_states as s
        set state = 'parked',
            next_attempt_at = null,
            wakeup_id = null,
            reason = 'seen_at_stripe',
            changed_at = payout.clock()
        where s.payout_transfer_id = any (p_payout_transfer_ids)
            and s.state = 'scheduled'
        returning s.payout_transfer_id, s.generation, s.attempt
    )
    insert into payout.transfer_observations (
        payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason)
    select p.payout_transfer_id, p.generation, p.attempt, 'looked_up', 'ok', 'parked',
        'seen_at_stripe'
    from parked as p
    order by p.payout_transfer_id;
end
$$;
comment on function payout.park_listed_transfer(bigint[]) is
    'Parks those that are scheduled, each with an observation.';
