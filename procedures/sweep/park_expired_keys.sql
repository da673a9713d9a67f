-- park_expired_keys: park transfers that were first sent too long ago to be sent again.
--
-- Stripe may forget a key after 24 hours; a send after that would be a new transfer. Only a
-- look-up can settle these. A first send in the future means a clock that was set back, hence a
-- key of unknown age. The clock is read for each row: a send after p_now is not in the future.

create or replace function payout.park_expired_keys(
    p_now timestamptz, p_limit integer, p_ids bigint[]
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_parked integer;
begin
    with expired as (
        select s.payout_transfer_id, s.generation, s.attempt,
            case when s.first_sent_at > payout.clock() then 'clock_was_set_back'
                else 'key_too_old_to_send' end as reason
        from payout.transfer_states as s
        cross join payout.engine_settings as e
        where (p_ids is null or s.payout_transfer_id = any (p_ids))
            and s.next_attempt_at is not null
            and s.state in ('retry_wait', 'unknown')
            and ((s.next_attempt_at <= p_now and s.first_sent_at <= p_now - e.send_window_for)
                or s.first_sent_at > payout.clock())
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id)
        select x.payout_transfer_id, x.generation, x.attempt, 'key_expired', 'ok', 'parked',
            x.reason, r.error_rule_id
        from expired as x
        left join payout.stripe_error_rules as r on r.signal = 'key_expired'
    ), moved as (
        update payout.transfer_states as s
        set state = 'parked',
            next_attempt_at = null,
            reason = x.reason,
            changed_at = p_now
        from expired as x
        where s.payout_transfer_id = x.payout_transfer_id
        returning 1
    )
    select count(*)::integer into v_parked from moved;

    if v_parked > 0 then
        perform payout.notify_operators('transfers_parked', v_parked || ' by the sweep');
    end if;
    return v_parked;
end
$$;
comment on function payout.park_expired_keys(timestamptz, integer, bigint[]) is
    'Parks up to p_limit transfers (of these, if given); returns how many.';
