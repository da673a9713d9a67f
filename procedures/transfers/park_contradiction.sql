-- park_contradiction: park a transfer whose row contradicts its facts, if its row can be written.
--
-- A failed one stays failed, without the date of a next key. The observation is that of a lease
-- that ran out: nobody knows what became of the last send.

create or replace function payout.park_contradiction(p_payout_transfer_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    with stopped as (
        update payout.transfer_states as s
        set state = case s.state when 'failed' then 'failed' else 'parked' end,
            lease_until = null,
            next_attempt_at = null,
            has_unknown_send = s.has_unknown_send or s.state = 'in_flight',
            reason = 'row_contradicts_facts',
            changed_at = payout.clock()
        where s.payout_transfer_id = p_payout_transfer_id
            and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'failed')
        returning s.*
    )
    insert into payout.transfer_observations (
        payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
        has_unknown_send)
    select s.payout_transfer_id, s.generation, s.attempt, 'lease_expired',
        case s.state when 'failed' then 'alarm' else 'ok' end, nullif(s.state::text, 'failed'),
        s.reason, s.has_unknown_send
    from stopped as s;
exception
    when integrity_constraint_violation or data_exception
        or sqlstate 'SP103' or sqlstate 'SP201' then
        raise log 'payout: transfer % cannot be parked: %', p_payout_transfer_id, sqlerrm;
end
$$;
comment on function payout.park_contradiction(bigint) is
    'Parks a transfer that is open, with reason row_contradicts_facts; takes the date from a '
    'failed one.';
