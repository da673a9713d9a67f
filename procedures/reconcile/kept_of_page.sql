-- kept_of_page: the objects of a page that are judged at the end of its read.

create or replace function payout.kept_of_page(
    p_read payout.stripe_reads, p_objects jsonb, p_discrepancies payout.discrepancy[]
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case p_read.kind
        when 'lookup' then payout.possible_matches(p_read, p_objects)
        when 'reversals' then (
            select coalesce(jsonb_agg(r.reversal) filter (where r.reversal is not null), '[]')
            from jsonb_array_elements(p_objects) as o
            cross join lateral payout.read_reversal(
                o, p_read.stripe_transfer_id) as r (reversal))
        when 'comparison' then (
            select coalesce(jsonb_agg(jsonb_build_object(
                'kind', d.kind, 'stripe_transfer_id', d.stripe_transfer_id)), '[]')
            from unnest(p_discrepancies) as d
            where d.not_ours_rule_id is null)
        else '[]'
    end
$$;
comment on function payout.kept_of_page(
    payout.stripe_reads, jsonb, payout.discrepancy[]
) is
    'Of a look-up possible matches, of reversals all of them, of a comparison the kind and the '
    'transfer of each discrepancy.';
