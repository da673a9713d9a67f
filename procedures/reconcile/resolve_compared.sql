-- resolve_compared: resolve discrepancies that a finished comparison found no longer.

create or replace function payout.resolve_compared(p_read_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = on
set enable_hashjoin = on
set enable_mergejoin = on
as $$
begin
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('read %s found it no longer', p_read_id),
        resolved_by_read_id = p_read_id
    where d.resolved_at is null
        and d.is_compared
        and d.last_found_by_read_id < p_read_id
        and d.stripe_transfer_id in (
            select i.stripe_transfer_id
            from payout.stripe_read_pages as p
            cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
            where p.read_id = p_read_id
        );
end
$$;
comment on function payout.resolve_compared(bigint) is
    'Resolves open discrepancies of transfers that this comparison listed without finding them '
    'again.';
