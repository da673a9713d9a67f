-- take_page: store a page of a read and what is new on it; finish the read after its last page.
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
    v_seen payout.stripe_transfer[] := '{}'::payout.stripe_transfer[];
    v_discrepancies payout.discrepancy[];
    v_rules jsonb := '{}'::jsonb;
    v_found integer := 0;
begin
    if p_read.kind in ('newest', 'events', 'comparison') then
        v_seen := payout.listed_on_page(p_read.kind, p_objects);
        v_discrepancies := payout.compare_listed_transfers(
            v_seen, payout.metadata_on_page(p_read.kind, p_objects));
        v_rules := payout.explained_by_rules(v_discrepancies);
        v_discrepancies := array(
            select d from unnest(v_discrepancies) as d where not v_rules ? d.stripe_transfer_id);
        v_found := payout.take_listed_transfers(v_seen, v_discrepancies, p_read);
    end if;
    v_next := payout.next_parameters(p_read, p_parameters, p_objects, p_has_more
        and not (p_read.kind = 'newest' and payout.is_far_enough(p_read, v_seen)));
    if cardinality(v_seen) < jsonb_array_length(p_objects) then
        v_found := v_found + payout.set_aside_unreadable(p_read, p_objects);
    end if;

    insert into payout.stripe_read_pages (
        read_id, page_number, parameters, has_more, objects_seen, stripe_transfer_ids, kept,
        received_at)
    select p_read.read_id, coalesce(max(p.page_number), 0) + 1, p_parameters,
        p_has_more and v_next is not null,
        jsonb_array_length(p_objects),
        case p_read.kind when 'comparison' then array(
            select l.stripe_transfer_id from unnest(v_seen) as l) else '{}' end,
        payout.kept_of_page(p_read, p_objects, v_discrepancies), payout.clock()
    from payout.stripe_read_pages as p
    where p.read_id = p_read.read_id;

    update payout.stripe_reads as r
    set next_parameters = v_next,
        objects_seen = r.objects_seen + jsonb_array_length(p_objects),
        objects_found = r.objects_found + v_found,
        not_ours = payout.count_not_ours(r.not_ours, v_rules),
        newest_created_at = greatest(
            r.newest_created_at, payout.newest_on_page(p_objects, r.begun_at))
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
