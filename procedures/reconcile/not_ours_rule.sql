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
declare
    v_listed payout.stripe_transfer := jsonb_populate_record(
        null::payout.stripe_transfer, p_theirs - 'metadata_keys');
begin
    if p_kind not in ('transfer_without_payout_ref', 'unknown_transfer_at_stripe')
        or coalesce(payout.may_be_ours(v_listed), true) then
        return null;
    end if;
    return (
        select min(r.not_ours_rule_id)
        from payout.not_ours_rules as r
        where r.ended_at is null
            and coalesce(v_listed.created_at < r.created_before, r.created_before is null)
            and coalesce(v_listed.destination = r.destination, r.destination is null)
            and (r.metadata_key is null
                or coalesce(p_theirs -> 'metadata_keys' ? r.metadata_key, false)));
end
$$;
comment on function payout.not_ours_rule(text, jsonb) is
    'The id of the first open rule that fits, by kind and theirs of a discrepancy; null: none '
    'does, or the transfer may be ours.';
