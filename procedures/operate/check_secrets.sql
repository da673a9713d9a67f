-- check_secrets: whether any row holds a key of Stripe's.

create or replace function payout.check_secrets()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'no secret in any row', count(*) = 0,
        coalesce(string_agg(distinct x.place, ', '), 'settlements, observations, actions, holds'),
        'revoke that key at Stripe, then find out who wrote it'
    from (
        select 'settlements.metadata', s.metadata::text from payout.settlements as s
        union all
        select 'transfer_observations',
            concat_ws(' ', o.facts, o.error_code, o.error_type, o.reason, o.stripe_request_id)
        from payout.transfer_observations as o
        union all
        select 'operator_actions', concat_ws(' ', a.reason, a.subject, a.details)
        from payout.operator_actions as a
        union all
        select 'holds', concat_ws(' ', h.reason, h.subject, h.release_reason)
        from payout.holds as h
        union all
        select 'discrepancies', concat_ws(' ', d.ours, d.theirs, d.resolution)
        from payout.discrepancies as d
    ) as x (place, content)
    where x.content ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;
comment on function payout.check_secrets() is 'Part of payout_api.verify_books().';
