-- backoff: the wait before the next try.
--
-- Exponential with a cap and full jitter, so that transfers that failed together do not come
-- back together.

create or replace function payout.backoff(p_rule payout.stripe_error_rules, p_tries integer)
returns interval
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        p_rule.wait_at_least
            + random() * least(p_rule.wait_cap, p_rule.wait_base * 2 ^ least(p_tries, 30)),
        interval '5 minutes');
end
$$;
comment on function payout.backoff(payout.stripe_error_rules, integer) is
    'The rule''s floor plus a random part of its base, doubled for each earlier try up to its cap.';
