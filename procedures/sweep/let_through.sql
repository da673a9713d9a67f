-- let_through: choose the transfer that a wait lets through, and make it due.
--
-- One that is on another hold would not be sent; one send tries funds and the account at once, or
-- a payee and a currency would wait for each other. A failed one is looked up first, for its next
-- key. One that is late for its first send comes last: no claim takes it before its look.
-- Called by: probe_waits, which holds the lock on the hold.
-- Locks: the transfer, skipping those that are locked.

create or replace function payout.let_through(p_hold payout.holds, p_now timestamptz)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    with chosen as (
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.hold_id = p_hold.hold_id
            and s.next_attempt_at <= p_now
            and payout.progress_problem(s) is null
            and not exists (
                select from payout.holds as h
                where h.released_at is null
                    and coalesce(h.awaits not in ('funds', 'account'), true)
                    and (h.scope, h.subject) in (
                        ('currency', t.currency::text), ('payee', t.payee_id::text),
                        ('settlement', t.settlement_id::text),
                        ('transfer', t.payout_transfer_id::text))
            )
        order by s.state = 'scheduled' and s.next_attempt_at <= p_now - (
                select e.send_window_for from payout.engine_settings as e),
            s.state = 'failed',
            s.payout_transfer_id is not distinct from p_hold.probe_transfer_id, s.next_attempt_at
        limit 1
        for update of s skip locked
    )
    update payout.transfer_states as s
    set hold_id = null,
        next_lookup_at = case s.state when 'failed' then p_now else s.next_lookup_at end
    from chosen as c
    where s.payout_transfer_id = c.payout_transfer_id
    returning s.payout_transfer_id
$$;
comment on function payout.let_through(payout.holds, timestamptz) is
    'Returns the transfer; null: each is locked or on another hold.';
