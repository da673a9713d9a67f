-- take_page: store a page of a read and act on it; finish the read after its last page.
--
-- Called by: report_page, which holds the lock of the read.

create or replace function payout.take_page(
    p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean
)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads;
    v_next jsonb;
    v_listed payout.stripe_transfer[] := '{}'::payout.stripe_transfer[];
    v_discrepancies payout.discrepancy[];
    v_found integer := 0;
begin
    if p_read.kind in ('newest', 'events', 'comparison') then
        select l.* into v_listed, v_discrepancies, v_found
        from payout.take_listed_transfers(p_read, p_objects) as l;
    end if;
    v_next := payout.next_parameters(p_read, p_parameters, p_objects, p_has_more
        and not (p_read.kind = 'newest' and payout.is_far_enough(p_read, v_listed)));
    if cardinality(v_listed) < jsonb_array_length(p_objects) then
        v_found := v_found + payout.set_aside_unreadable(p_read, p_objects);
    end if;

    insert into payout.stripe_read_pages (
        read_id, page_number, parameters, has_more, stripe_transfer_ids, kept, received_at)
    select p_read.read_id, coalesce(max(p.page_number), 0) + 1, p_parameters,
        p_has_more and v_next is not null,
        case p_read.kind when 'comparison' then array(
            select l.stripe_transfer_id from unnest(v_listed) as l) else '{}' end,
        payout.kept_of_page(p_read, p_objects, v_discrepancies), payout.clock()
    from payout.stripe_read_pages as p
    where p.read_id = p_read.read_id;

    update payout.stripe_reads as r
    set next_parameters = v_next,
        objects_seen = r.objects_seen + jsonb_array_length(p_objects),
        objects_found = r.objects_found + v_found,
        not_ours = r.not_ours || (
            select coalesce(jsonb_object_agg(n.rule_id, n.transfers), '{}')
            from (
                select d.not_ours_rule_id, count(*)
                    + coalesce((r.not_ours ->> d.not_ours_rule_id::text)::bigint, 0)
                from unnest(v_discrepancies) as d
                where d.not_ours_rule_id is not null
                group by d.not_ours_rule_id
            ) as n (rule_id, transfers)),
        newest_created_at = greatest(r.newest_created_at, (
            select max(to_timestamp(c.created))
            from jsonb_array_elements(p_objects) as o
            cross join lateral payout.read_whole(o -> 'created') as c (created)
            -- A time ahead of ours may be a broken one; an earlier one has more read again.
            where c.created <= extract(epoch from r.begun_at)))
    where r.read_id = p_read.read_id
    returning * into strict v_read;
    if v_next is null then
        return payout.finish_read(v_read);
    end if;
    return v_read;
end
$$;
comment on function payout.take_page(payout.stripe_reads, jsonb, jsonb, boolean) is
    'Returns the read with its next parameters and counts.';
