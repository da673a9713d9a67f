-- match_error_rule: find the error rule of an outcome that is no success.

create or replace function payout.match_error_rule(p_outcome payout.outcome)
returns payout.stripe_error_rules
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select r
    from payout.stripe_error_rules as r
    where r.signal = p_outcome.signal
        and (r.http_status_from is null
            or p_outcome.http_status between r.http_status_from and r.http_status_to)
        and (r.error_type is null or r.error_type = p_outcome.error_type)
        and (r.error_code is null or r.error_code = p_outcome.error_code)
        and (r.error_param is null or r.error_param = p_outcome.error_param)
        and (r.is_replayed is null or r.is_replayed = coalesce(p_outcome.is_replayed, false))
        and (r.should_retry is null or r.should_retry = p_outcome.should_retry)
        and (r.is_rate_limited is null
            or r.is_rate_limited = (p_outcome.rate_limited_reason is not null))
    order by r.error_rule_id
    limit 1
$$;
comment on function payout.match_error_rule(payout.outcome) is
    'The first rule in order of id that fits; the last rule of a signal fits all.';
