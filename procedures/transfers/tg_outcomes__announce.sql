-- tg_outcomes__announce: announce that outcomes are about to be written, before they draw ids.
--
-- The key of a lock tells the last id that was drawn: the ids of this transaction are above it, and
-- outcomes_since goes no further while the lock is held. It waits for no other session: where
-- one has that key, a lower one says the same. Once a transaction: the setting ends with it, or
-- with a savepoint that is undone, as the lock does.

create or replace function payout.tg_outcomes__announce()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key bigint;
begin
    if current_setting('payout.announced_by', true) = pg_current_xact_id()::text then
        return null;
    end if;
    -- Far below every key that an application would use for its own locks.
    v_key := coalesce(pg_sequence_last_value('payout.outcomes_outcome_id_seq'::regclass), 0)
        - 9000000000000000000;
    while not pg_try_advisory_xact_lock_shared(v_key) loop
        v_key := v_key - 1;
    end loop;
    perform set_config('payout.announced_by', pg_current_xact_id()::text, true);
    return null;
end
$$;
comment on function payout.tg_outcomes__announce() is
    'Trigger: takes a shared lock whose key tells above which id this transaction writes outcomes.';
