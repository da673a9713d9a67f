-- add_lookup_page: store a page of a look-up with the transfers on it that match.
--
-- Called by: report_lookup_page, which holds the lock of the transfer.
-- A match names the transfer in its metadata, or in its group, which cannot be edited. Stripe
-- sets the group of a charge itself: there a transfer without metadata of ours, but of the same
-- charge, account and amount, may match too (lookup_outcome).
-- Raises: SP340 unknown query, a page out of order or malformed; SP341 (refuse_other_query).

create or replace function payout.add_lookup_page(
    p_lookup payout.transfer_lookups,
    p_query_number integer,
    p_query jsonb,
    p_starting_after text,
    p_transfers jsonb,
    p_has_more boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_former payout.transfer_lookup_pages;
    v_problem text;
    v_transfer payout.payout_transfers;
begin
    select * into strict v_transfer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_lookup.payout_transfer_id;

    if coalesce(p_query_number, -1)
        not between 0 and jsonb_array_length(p_lookup.queries) - 1 then
        perform payout.refuse_lookup_page(p_lookup.lookup_id,
            format('it has no query %s', coalesce(p_query_number::text, 'null')));
    end if;
    perform payout.refuse_other_query(
        format('look-up %s', p_lookup.lookup_id), p_query, p_lookup.queries -> p_query_number);
    if jsonb_typeof(p_transfers) = 'array' and exists (
        select from payout.transfer_lookup_pages as p
        where p.lookup_id = p_lookup.lookup_id and p.query_number = p_query_number
            and p.starting_after is not distinct from p_starting_after
    ) then
        return;
    end if;

    select * into v_former
    from payout.transfer_lookup_pages as p
    where p.lookup_id = p_lookup.lookup_id and p.query_number = p_query_number
    order by p.page_number desc
    limit 1;
    v_problem := payout.page_problem(
        v_former.last_id, v_former.has_more, p_starting_after, p_transfers, p_has_more);
    if v_problem is not null then
        perform payout.refuse_lookup_page(p_lookup.lookup_id, v_problem);
    end if;

    insert into payout.transfer_lookup_pages (
        lookup_id, query_number, page_number, starting_after, last_id, has_more, transfers_seen,
        matches, received_at)
    select p_lookup.lookup_id, p_query_number, coalesce(v_former.page_number, 0) + 1,
        p_starting_after, p_transfers -> -1 ->> 'id', p_has_more, jsonb_array_length(p_transfers),
        coalesce(
            jsonb_agg(payout.match_facts(t) || jsonb_build_object('is_by_charge', m.is_by_charge))
                filter (where m.is_ours or m.is_by_charge),
            '[]'),
        payout.clock()
    from (select) as always
    left join jsonb_array_elements(p_transfers) as t on true
    cross join lateral (values (
        v_transfer.payout_ref in (t #>> '{metadata,payout_ref}', t ->> 'transfer_group'),
        t #>> '{metadata,payout_ref}' is null
            and t ->> 'source_transaction' = v_transfer.source_transaction
            and t ->> 'destination' = any (payout.destinations(v_transfer))
            and t ->> 'amount' = v_transfer.amount_minor::text
    )) as m (is_ours, is_by_charge);
end
$$;
comment on function payout.add_lookup_page(
    payout.transfer_lookups, integer, jsonb, text, jsonb, boolean
) is 'Skips a page that is stored already; refuses one that is not the next.';
