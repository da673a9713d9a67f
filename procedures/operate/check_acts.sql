-- check_acts: the releases of holds, resolutions and rules, of these numbers, without their act.
--
-- The columns that close a row are under no seal; operator_actions, which says who closed it, is.
-- The engine resolves by a comparison, a rule, or a payment.

create or replace function payout.check_acts(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every release and resolution has its act', c.row,
        'compare with payout.operator_actions: it was closed by hand, or its reason was rewritten'
    from (
        select 'hold ' || h.hold_id
        from payout.holds as h
        where h.hold_id between p_from and p_to
            and h.released_at is not null
            and not exists (
                select from payout.operator_actions as a
                where a.action = 'release'
                    and (a.details ->> 'hold_id')::bigint = h.hold_id
                    and a.reason = h.release_reason
            )
        union all
        select 'discrepancy ' || d.discrepancy_id
        from payout.discrepancies as d
        where d.discrepancy_id between p_from and p_to
            and d.resolved_at is not null
            and not exists (
                select from payout.operator_actions as a
                where a.action = 'resolve_discrepancy'
                    and (a.details ->> 'discrepancy_id')::bigint = d.discrepancy_id
                    and a.reason = d.resolution
            )
            and not (d.resolved_by = 'engine' and (
                exists (
                    select from payout.stripe_reads as r
                    where r.read_id = d.resolved_by_read_id and r.finished_at is not null
                )
                or (d.resolved_by_rule_id is not null
                    and d.kind in ('transfer_without_payout_ref', 'unknown_transfer_at_stripe')
                    and not payout.may_be_ours(jsonb_populate_record(
                        null::payout.stripe_transfer, d.theirs - 'metadata_keys')))
                or exists (
                    select from payout.transfer_states as s
                    where s.state = 'paid'
                        and d.kind <> 'several_transfers_at_stripe'
                        and (s.stripe_transfer_id = d.stripe_transfer_id
                            or (s.payout_transfer_id = d.payout_transfer_id
                                and d.stripe_transfer_id is null))
                )
            ))
        union all
        select 'rule ' || r.not_ours_rule_id
        from payout.not_ours_rules as r
        where r.not_ours_rule_id between p_from and p_to
            and (not exists (
                select from payout.operator_actions as a
                where a.action = 'add_not_ours_rule'
                    and a.subject = r.not_ours_rule_id::text
                    and a.details - '{ended_at,ended_by,end_reason}'::text[]
                        = to_jsonb(r) - '{ended_at,ended_by,end_reason}'::text[]
            ) or (r.ended_at is not null and not exists (
                select from payout.operator_actions as a
                where a.action = 'end_not_ours_rule'
                    and a.subject = r.not_ours_rule_id::text
                    and a.reason = r.end_reason
            )))
    ) as c (row)
$$;
comment on function payout.check_acts(bigint, bigint) is 'Part of payout_api.verify_books().';
