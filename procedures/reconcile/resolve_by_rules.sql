-- resolve_by_rules: resolve open discrepancies that a rule explains by now.
--
-- Called by: add_not_ours_rule.
-- Locks: the discrepancies, skipping those that an operator is about to resolve.

create or replace function payout.resolve_by_rules()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_resolved bigint;
begin
    with explained as materialized (
        select d.discrepancy_id, payout.not_ours_rule(d.kind, d.theirs) as rule_id
        from payout.discrepancies as d
        where d.resolved_at is null
            and d.found_by_read_id is not null
            and d.kind in ('transfer_without_payout_ref', 'unknown_transfer_at_stripe')
        order by d.discrepancy_id
        for update skip locked
    )
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('not ours by rule %s', e.rule_id),
        resolved_by_rule_id = e.rule_id
    from explained as e
    where d.discrepancy_id = e.discrepancy_id and e.rule_id is not null;
    get diagnostics v_resolved = row_count;
    return v_resolved;
end
$$;
comment on function payout.resolve_by_rules() is
    'Resolves the discrepancies of transfers that are not ours by an open rule; returns how many.';
