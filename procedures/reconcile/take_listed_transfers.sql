-- take_listed_transfers: act on transfers that Stripe's list or events show.
--
-- A transfer that differs, or is unknown here, is a discrepancy. A transfer of ours that is not
-- paid here is stored and judged. Events tell of reversals alone, so these are what they found.

create or replace function payout.take_listed_transfers(
    p_seen payout.stripe_transfer[],
    p_discrepancies payout.discrepancy[],
    p_read payout.stripe_reads
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_found integer;
    v_reversed integer;
begin
    perform payout.stop_beside_another(p_seen, p_read.read_id);
    v_found := payout.record_discrepancies(
            p_discrepancies, case p_read.kind when 'comparison' then p_read.read_id end)
        + payout.record_listed_transfers(
            array(select k from payout.keep_listed_transfers(p_seen, p_read.read_id) as k));
    v_reversed := payout.note_reversals(p_seen);
    return case p_read.kind when 'events' then v_reversed else v_found end;
end
$$;
comment on function payout.take_listed_transfers(
    payout.stripe_transfer[], payout.discrepancy[], payout.stripe_reads
) is
    'Returns the number of discrepancies and alarms; for events, of the transfers of which more is '
    'reversed than was known.';
