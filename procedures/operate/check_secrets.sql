-- check_secrets: the rows of these numbers that hold a key of Stripe's.
--
-- Observations are found by the number of their transfer.

create or replace function payout.check_secrets(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'no secret in any row', format('%s %s', x.place, x.id),
        'revoke that key at Stripe, then find out who wrote it'
    from (
        select 'transfer_observations', o.observation_id, concat_ws(
            ' ', o.facts, o.error_code, o.error_type, o.reason, o.stripe_request_id)
        from payout.transfer_observations as o
        where o.payout_transfer_id between p_from and p_to
        union all
        select 'operator_actions', a.operator_action_id,
            concat_ws(' ', a.reason, a.subject, a.details)
        from payout.operator_actions as a
        where a.operator_action_id between p_from and p_to
        union all
        select 'holds', h.hold_id, concat_ws(' ', h.reason, h.subject, h.release_reason)
        from payout.holds as h
        where h.hold_id between p_from and p_to
        union all
        select 'discrepancies', d.discrepancy_id, concat_ws(' ', d.ours, d.theirs, d.resolution)
        from payout.discrepancies as d
        where d.discrepancy_id between p_from and p_to
    ) as x (place, id, content)
    where x.content ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;
comment on function payout.check_secrets(bigint, bigint) is 'Part of payout_api.verify_books().';
