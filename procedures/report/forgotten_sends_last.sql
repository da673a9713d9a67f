-- forgotten_sends_last: how long something may come of sends that a database has forgotten.
--
-- A database that went back in time sent a transfer, as far as it can have forgotten that, within
-- the send window after it was due. The last such send is over like any attempt without a
-- definite answer (absence_counts_from).

create or replace function payout.forgotten_sends_last(p_settings payout.engine_settings)
returns interval
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_settings.send_window_for + p_settings.lease_for + p_settings.attempt_drain_for
        + p_settings.indeterminate_for;
end
$$;
comment on function payout.forgotten_sends_last(payout.engine_settings) is
    'The time after a transfer was due from which a look at Stripe''s list shows whether it was '
    'sent, though nothing here says so.';
