-- finish_comparison: compare the books with all that a comparison has listed, the other way round.

create or replace function payout.finish_comparison(p_read payout.stripe_reads)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads := p_read;
begin
    v_read.objects_found := p_read.objects_found + payout.record_discrepancies(
        array(select d from payout.find_missing(p_read) as d), p_read.read_id);
    perform payout.resolve_compared(p_read);
    v_read.objects_found := v_read.objects_found + payout.record_listed_transfers(
        array(select l.stripe_transfer_id from payout.listed_transfers as l));
    v_read.result := concat_ws(', ',
        format('compared %s transfers of Stripe''s: %s discrepancies',
            v_read.objects_seen, v_read.objects_found),
        (select sum(n.value::bigint) from jsonb_each_text(v_read.not_ours) as n) || ' not ours');
    v_read.is_alarm := v_read.objects_found > 0;
    return v_read;
end
$$;
comment on function payout.finish_comparison(payout.stripe_reads) is
    'Returns the read with its result and the number of its discrepancies.';
