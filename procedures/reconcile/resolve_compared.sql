-- resolve_compared: resolve discrepancies that a finished comparison found no longer.
--
-- Called by: finish_comparison. A page keeps the discrepancies that it showed.
-- Locks: the discrepancies, skipping those that an operator is about to resolve.

create or replace function payout.resolve_compared(p_read payout.stripe_reads)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = on
set enable_hashjoin = on
set enable_mergejoin = on
as $$
begin
    with no_longer_found as materialized (
        select d.discrepancy_id
        from payout.discrepancies as d
        where d.resolved_at is null
            and d.kind in (
                'differs_at_stripe', 'missing_at_stripe', 'transfer_without_payout_ref',
                'unknown_transfer_at_stripe')
            and d.found_at < p_read.begun_at
            and d.found_by_read_id <> p_read.read_id
            and d.stripe_transfer_id in (
                select i.stripe_transfer_id
                from payout.stripe_read_pages as p
                cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
                where p.read_id = p_read.read_id
            )
            and not exists (
                select from payout.stripe_read_pages as p
                cross join jsonb_to_recordset(p.kept) as k (kind text, stripe_transfer_id text)
                where p.read_id = p_read.read_id
                    and k.kind = d.kind
                    and k.stripe_transfer_id = d.stripe_transfer_id
            )
        for update of d skip locked
    )
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('read %s found it no longer', p_read.read_id),
        resolved_by_read_id = p_read.read_id
    from no_longer_found as n
    where d.discrepancy_id = n.discrepancy_id;
end
$$;
comment on function payout.resolve_compared(payout.stripe_reads) is
    'Resolves open discrepancies of transfers that this comparison listed without finding them '
    'again.';
