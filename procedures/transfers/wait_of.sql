-- wait_of: the wait that stops a transfer, the longest if there are several.
--
-- A wait stops first sends under a key, and failed transfers before their next key; none stops the
-- transfer that it lets through (lock_due_transfers, mark_held_transfers and the view explained
-- ask the same for many).

create or replace function payout.wait_of(
    p_state payout.transfer_states, p_transfer payout.payout_transfers
)
returns payout.holds
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select h
    from payout.holds as h
    where h.released_at is null
        and h.awaits is not null
        and (h.scope, h.subject) in (
            ('currency', p_transfer.currency::text), ('payee', p_transfer.payee_id::text),
            ('transfer', p_transfer.payout_transfer_id::text))
        and (p_state.state = 'scheduled' and p_state.window_begins_at is null
            or p_state.state = 'failed')
        and p_state.next_attempt_at is not null
        and (h.awaits <> 'funds' or p_transfer.source_transaction is null
            or h.hold_id = p_state.hold_id)
        and (h.awaits in ('cap', 'account_change') or p_state.hold_id is not null
            or p_transfer.payout_transfer_id not in (select payout.let_through_ids()))
    order by h.goes_on_at desc nulls first, h.hold_id
    limit 1
$$;
comment on function payout.wait_of(payout.transfer_states, payout.payout_transfers) is
    'The hold; null: it waits for nothing.';
