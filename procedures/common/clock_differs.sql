-- clock_differs: tell whether our clock and Stripe's are too far apart to trust an age.
--
-- The age of a key and the waits of a proof of absence are counted by our clock.

create or replace function payout.clock_differs(p_stripe_now timestamptz)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(abs(extract(epoch from payout.clock() - p_stripe_now)) > 300, false);
end
$$;
comment on function payout.clock_differs(timestamptz) is
    'True when the clock is more than five minutes from the time at Stripe; false if that is not '
    'known.';
