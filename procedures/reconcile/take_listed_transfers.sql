-- take_listed_transfers: act on transfers that Stripe's list or events show.
--
-- Those of ours that are not paid here are stored and judged; those that are unknown here are
-- stored too: a claim never sends a listed transfer. Events tell of reversals alone, so these are
-- what they found.

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
    insert into payout.listed_transfers (
        stripe_transfer_id, payout_ref, amount_minor, amount_reversed_minor, currency,
        destination, is_livemode, named_payout_ref, named_engine, named_settlement, created_at,
        read_id, seen_at)
    select l.stripe_transfer_id, l.belongs_to, l.amount_minor,
        coalesce(l.amount_reversed_minor, 0), l.currency, l.destination, l.is_livemode,
        l.payout_ref, l.payout_engine, l.settlement_id, l.created_at, p_read.read_id,
        payout.clock()
    from unnest(p_seen) as l
    where l.belongs_to is not null
        and not exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = l.stripe_transfer_id
        )
    order by l.stripe_transfer_id
    on conflict do nothing;

    v_found := payout.record_discrepancies(
            p_discrepancies, case p_read.kind when 'comparison' then p_read.read_id end)
        + payout.record_listed_transfers(array(
            select l.stripe_transfer_id from unnest(p_seen) as l));
    v_reversed := payout.note_reversals(p_seen);
    return case p_read.kind when 'events' then v_reversed else v_found end;
end
$$;
comment on function payout.take_listed_transfers(
    payout.stripe_transfer[], payout.discrepancy[], payout.stripe_reads
) is
    'Returns the number of discrepancies and alarms; for events, of the transfers of which more is '
    'reversed than was known.';
