-- counted_keys: the number of keys that count against engine_settings.max_generations.
--
-- A key that was declined for lack of funds does not count: such declines pass by themselves,
-- however long that takes.

create or replace function payout.counted_keys(p_state payout.transfer_states)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select p_state.generation - count(*)::integer
    from payout.transfer_observations as o
    join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.moved_to = 'failed'
        and r.awaits = 'funds'
$$;
comment on function payout.counted_keys(payout.transfer_states) is
    'Keys of a transfer so far, those left out that were declined for lack of funds.';
