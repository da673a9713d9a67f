-- is_current: tell whether a read of Stripe's newest transfers was begun lately enough.
--
-- A database goes back in time while its server is down, or while workers pay from another one.
-- So the read must be of this very start of the server, which equality tells, since a clock may be
-- wrong at boot; and must have begun lately. Stripe still knows the key of each send that was
-- forgotten since then (last_send_ends_before_stripe_forgets_the_key).

create or replace function payout.is_current(p_read payout.stripe_reads, p_within interval)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
begin
    return p_read.server_started_at = pg_postmaster_start_time()
        and p_read.begun_at > v_now - p_within
        and p_read.begun_at <= v_now
        and payout.is_of_this_database(p_read);
end
$$;
comment on function payout.is_current(payout.stripe_reads, interval) is
    'True for a read that was begun in this database under this start of the server, no longer '
    'ago than p_within.';
