-- not_ours_rule: the rule by which a discrepancy is about a transfer of other software.
--
-- Only kinds that say that a transfer is unknown here: a difference to a transfer of ours is no
-- matter of rules.

create or replace function payout.not_ours_rule(p_kind text, p_theirs jsonb)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select min(r.not_ours_rule_id)
        from payout.not_ours_rules as r
        cross join lateral jsonb_populate_record(
            null::payout.stripe_transfer, p_theirs - 'metadata_keys') as l
        where r.ended_at is null
            and p_kind in ('transfer_without_payout_ref', 'unknown_transfer_at_stripe')
            and coalesce(l.created_at < r.created_before, r.created_before is null)
            and coalesce(l.destination = r.destination, r.destination is null)
            and (r.metadata_key is null
                or coalesce(p_theirs -> 'metadata_keys' ? r.metadata_key, false))
            and not coalesce(payout.may_be_ours(l), true));
end
$$;
comment on function payout.not_ours_rule(text, jsonb) is
    'The id of the first open rule that fits, by kind and theirs of a discrepancy; null: none '
    'does, or the transfer may be ours.';
