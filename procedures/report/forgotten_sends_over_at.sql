-- forgotten_sends_over_at: the time from which nothing can come of sends that a restore forgot.
--
-- A database that was adopted after a transfer was sent may know the first sends and have forgotten
-- later ones, under this key or another. The old database had ended before the adoption. So the
-- last of them is over like any attempt without a definite answer (sends_over_at).

create or replace function payout.forgotten_sends_over_at(p_payout_transfer_id bigint)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(a.recorded_at) + e.lease_for + e.attempt_drain_for + e.indeterminate_for
    from payout.adoptions as a
    cross join payout.engine_settings as e
    where a.system_identifier is not null
        and not a.is_installation
        and not a.is_first_claim
        and a.recorded_at > (
            select min(t.claimed_at)
            from payout.transfer_attempts as t
            where t.payout_transfer_id = p_payout_transfer_id)
    group by e.lease_for, e.attempt_drain_for, e.indeterminate_for
$$;
comment on function payout.forgotten_sends_over_at(bigint) is
    'A day and more after the newest adoption; null: it was first sent since, or there was none.';
