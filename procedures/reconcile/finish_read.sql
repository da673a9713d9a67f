-- finish_read: judge a read of which every page was taken.
--
-- Called by: take_page, which holds the lock of the read. A comparison ends with the other way
-- round: what the books have and Stripe did not list.

create or replace function payout.finish_read(p_read payout.stripe_reads)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads := p_read;
begin
    case p_read.kind
        when 'lookup' then v_read := payout.finish_lookup(p_read);
        when 'reversals' then v_read := payout.finish_reversals(p_read);
        when 'comparison' then
            v_read.objects_found := v_read.objects_found + payout.record_discrepancies(
                array(select d from payout.find_missing(p_read) as d), p_read.read_id);
            perform payout.resolve_compared(p_read);
            v_read.objects_found := v_read.objects_found + payout.record_listed_transfers(array(
                select l.stripe_transfer_id
                from payout.listed_transfers as l
                where not exists (
                    select from payout.transfer_states as s
                    where s.stripe_transfer_id = l.stripe_transfer_id)));
            v_read.result := concat_ws(', ',
                format('compared %s transfers of Stripe''s: %s discrepancies',
                    v_read.objects_seen, v_read.objects_found),
                (select sum(n.value::bigint) from jsonb_each_text(v_read.not_ours) as n)
                    || ' not ours');
            v_read.is_alarm := v_read.objects_found > 0;
        when 'newest' then
            v_read.result := format('compared the %s newest transfers of Stripe''s: %s '
                'discrepancies', v_read.objects_seen, v_read.objects_found);
        when 'events' then
            v_read.result := format('read %s events: %s tell of more reversed',
                v_read.objects_seen, v_read.objects_found);
    end case;
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
