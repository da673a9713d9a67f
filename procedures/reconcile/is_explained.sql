-- is_explained: whether an equal discrepancy has been resolved for good.
--
-- An operator resolves for good, and so does the engine when the transfer becomes paid; a rule only
-- as long as it is open. A larger amount reversed, another time of creation, or metadata that were
-- added, make no new discrepancy.

create or replace function payout.is_explained(p_discrepancy payout.discrepancy)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from payout.discrepancies as d
        where d.kind = p_discrepancy.kind
            and d.stripe_transfer_id = p_discrepancy.stripe_transfer_id
            and d.found_by_read_id is not null
            and d.resolved_at is not null
            and d.resolved_by_read_id is null
            and d.resolved_by_rule_id is null
            and d.theirs - array['amount_reversed_minor', 'created_at', 'metadata_keys']
                = p_discrepancy.theirs
                    - array['amount_reversed_minor', 'created_at', 'metadata_keys']
    )
$$;
comment on function payout.is_explained(payout.discrepancy) is
    'True when an equal discrepancy was resolved, and not by a comparison that found it no longer.';
