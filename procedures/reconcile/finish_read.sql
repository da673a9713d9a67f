-- finish_read: judge a read of which every page was taken.
--
-- Called by: take_page, which holds the lock of the read.

create or replace function payout.finish_read(p_read payout.stripe_reads)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads := case p_read.kind
        when 'lookup' then payout.finish_lookup(p_read)
        when 'reversals' then payout.finish_reversals(p_read)
        when 'comparison' then payout.finish_comparison(p_read)
        else p_read
    end;
begin
    if p_read.kind = 'newest' then
        v_read.result := format('compared the %s newest transfers of Stripe''s: %s discrepancies',
            p_read.objects_seen, p_read.objects_found);
    elsif p_read.kind = 'events' then
        v_read.result := format('read %s events: %s tell of more reversed', p_read.objects_seen,
            p_read.objects_found);
    end if;
    update payout.stripe_reads as r
    set objects_found = v_read.objects_found,
        result = v_read.result,
        is_alarm = v_read.is_alarm,
        finished_at = payout.clock()
    where r.read_id = p_read.read_id
    returning * into strict v_read;
    return v_read;
end
$$;
comment on function payout.finish_read(payout.stripe_reads) is
    'Returns the read with its result, and whether that is an alarm.';
