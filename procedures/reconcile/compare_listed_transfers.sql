-- compare_listed_transfers: the discrepancies between listed transfers and the books.
--
-- Leaves out our transfers that are not paid by the listed one: they are judged as any success
-- (record_listed_transfers). One that was settled outside by the listed one has no entries that a
-- reversal could be booked against. Leaves out transfers that others made before the installation.

create or replace function payout.compare_listed_transfers(
    p_listed payout.stripe_transfer[], p_objects jsonb
)
returns payout.discrepancy[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        -- Computed for the first discrepancy, if there is any.
        with metadata as materialized (
            select o ->> 'id' as id, o -> 'metadata' as metadata
            from jsonb_array_elements(p_objects) as o
            where jsonb_typeof(o -> 'metadata') = 'object'
        )
        select row(
            k.kind, coalesce(t.payout_transfer_id, o.payout_transfer_id), l.stripe_transfer_id,
            case
                when t.payout_transfer_id is not null then payout.transfer_facts(t, e.is_livemode)
                when o.payout_transfer_id is not null then payout.transfer_facts(o, e.is_livemode)
                else '{}'
            end,
            d.theirs, payout.not_ours_rule(k.kind, d.theirs)
        )::payout.discrepancy
        from unnest(p_listed) as l
        cross join payout.engine_settings as e
        left join payout.transfer_states as s on s.stripe_transfer_id = l.stripe_transfer_id
        left join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        left join payout.payout_transfers as o
            on t.payout_transfer_id is null and o.payout_ref = l.belongs_to
        cross join lateral (select case
            when t.payout_transfer_id is not null then case
                when (l.belongs_to, l.amount_minor, l.currency, l.is_livemode) is distinct from
                    (t.payout_ref, t.amount_minor, t.currency::text, e.is_livemode)
                    or (l.destination = any (payout.destinations(t, s.generation))) is not true
                    then 'differs_at_stripe'
            end
            when o.payout_transfer_id is not null then case
                when l.amount_reversed_minor > 0 and exists (
                    select from payout.transfer_observations as x
                    where x.payout_transfer_id = o.payout_transfer_id
                        and x.moved_to = 'settled_outside'
                        and strpos(x.facts ->> 'detail', l.stripe_transfer_id) > 0
                ) then 'reversed_after_settled_outside'
            end
            when l.belongs_to is null
                or (l.payout_ref is null and l.transfer_group is distinct from l.belongs_to)
                then case
                    when coalesce(l.created_at, 'infinity') > (
                        select min(o.recorded_at) - interval '1 day' from payout.adoptions as o
                    ) then 'transfer_without_payout_ref'
                end
            else 'unknown_transfer_at_stripe'
        end) as k (kind)
        cross join lateral (
            select jsonb_strip_nulls(
                to_jsonb(l) - array['stripe_transfer_id', 'object', 'is_readable']
                || jsonb_build_object('metadata_keys', (
                    select jsonb_agg(distinct n.key order by n.key)
                    from metadata as m
                    cross join jsonb_object_keys(m.metadata) as n (key)
                    where m.id = l.stripe_transfer_id and k.kind <> 'differs_at_stripe'),
                    'reversed_minor', case when k.kind = 'reversed_after_settled_outside'
                        then l.amount_reversed_minor end))
        ) as d (theirs)
        where k.kind is not null);
end
$$;
comment on function payout.compare_listed_transfers(payout.stripe_transfer[], jsonb) is
    'A listed transfer differs from the one paid here, has no payout_ref, or is unknown here; '
    'p_objects are the objects of the page, for their metadata.';
