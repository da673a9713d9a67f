-- not_ours: the rules for transfers of other software, with how much each explains.
--
-- Two comparisons may count the same transfer: counts do not add up.

create or replace view payout_api.not_ours as
select
    r.not_ours_rule_id as rule_id,
    r.created_before,
    r.metadata_key,
    r.destination,
    r.is_everything,
    r.reason,
    r.recorded_by,
    r.recorded_at,
    r.ended_at,
    n.read_id as last_read_id,
    n.transfers as transfers_in_last_read,
    (
        select count(*) from payout.discrepancies as d
        where d.resolved_by_rule_id = r.not_ours_rule_id
    ) as discrepancies_resolved
from payout.not_ours_rules as r
left join lateral (
    select s.read_id, (s.not_ours ->> r.not_ours_rule_id::text)::bigint as transfers
    from payout.stripe_reads as s
    where s.kind = 'comparison'
        and s.finished_at is not null
        and s.not_ours ? r.not_ours_rule_id::text
    order by s.read_id desc
    limit 1
) as n on true;
comment on view payout_api.not_ours is
    'One row for each rule by which transfers at Stripe are not ours: its conditions and reason, '
    'the last comparison that met such transfers and their number, and the discrepancies that it '
    'resolved.';
