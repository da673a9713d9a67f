-- find_missing: the transfers that are paid here and that a whole comparison did not list.
--
-- Compares transfers whose window began, and that were reported, between books_from and its begin:
-- Stripe made them in between. Two such times overlap by more than the window of a key.

create or replace function payout.find_missing(p_read payout.stripe_reads)
returns setof payout.discrepancy
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = on
set enable_hashjoin = on
set enable_mergejoin = on
as $$
begin
    return query
    with seen as materialized (
        select i.stripe_transfer_id
        from payout.stripe_read_pages as p
        cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
        where p.read_id = p_read.read_id
    )
    select
        'missing_at_stripe', t.payout_transfer_id, s.stripe_transfer_id,
        payout.transfer_facts(t, c.is_livemode), '{}'::jsonb, null::bigint
    from (
        -- Kept apart by the offset, so that it is read by its ids.
        select l.* from payout.ledger_entries as l
        where l.ledger_entry_id >= payout.first_entry_id(p_read.books_from)
        offset 0
    ) as e
    join payout.transfer_states as s on s.payout_transfer_id = e.payout_transfer_id
    join payout.payout_transfers as t on t.payout_transfer_id = e.payout_transfer_id
    cross join payout.engine_settings as c
    where e.kind = 'paid'
        and e.created_at >= p_read.books_from
        and e.created_at < p_read.begun_at
        and s.state = 'paid'
        and s.window_begins_at >= p_read.books_from
        and not exists (
            select from seen as i where i.stripe_transfer_id = s.stripe_transfer_id
        );
end
$$;
comment on function payout.find_missing(payout.stripe_reads) is
    'Discrepancies at the end of a comparison, of kind missing_at_stripe.';
