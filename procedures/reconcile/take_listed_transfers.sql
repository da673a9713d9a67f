-- take_listed_transfers: compare the transfers on a page of Stripe's list, or of events, and act.
--
-- Those of ours that are not paid here are stored and judged; those that are unknown here are
-- stored too: a claim never sends a listed transfer. Events tell of reversals alone, so these are
-- what they found.

create or replace function payout.take_listed_transfers(
    p_read payout.stripe_reads,
    p_objects jsonb,
    out listed payout.stripe_transfer[],
    out discrepancies payout.discrepancy[],
    out objects_found integer
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_objects jsonb := case p_read.kind
        when 'events' then jsonb_path_query_array(p_objects, '$[*].data.object')
        else p_objects
    end;
    v_reversed integer;
begin
    -- Of several events about one transfer, the one with the most reversed counts.
    listed := array(
        select distinct on (t.stripe_transfer_id) t
        from jsonb_array_elements(v_objects) as o
        cross join lateral payout.read_stripe_transfer(o) as t
        where t.stripe_transfer_id is not null
        order by t.stripe_transfer_id, t.amount_reversed_minor desc nulls last);
    discrepancies := payout.compare_listed_transfers(listed, v_objects);

    perform payout.stop_beside_another(listed, p_read.read_id);
    insert into payout.listed_transfers (
        stripe_transfer_id, payout_ref, amount_minor, amount_reversed_minor, currency,
        destination, is_livemode, named_payout_ref, named_engine, source_transaction, created_at,
        read_id, seen_at)
    select l.stripe_transfer_id, l.belongs_to, l.amount_minor,
        coalesce(l.amount_reversed_minor, 0), l.currency, l.destination, l.is_livemode,
        l.payout_ref, l.payout_engine, l.source_transaction, l.created_at, p_read.read_id,
        payout.clock()
    from unnest(listed) as l
    where l.belongs_to is not null
        and not exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = l.stripe_transfer_id
        )
    order by l.stripe_transfer_id
    on conflict do nothing;

    objects_found := payout.record_discrepancies(discrepancies, p_read.read_id)
        + payout.record_listed_transfers(array(
            select l.stripe_transfer_id from unnest(listed) as l));
    v_reversed := payout.note_reversals(listed);
    if p_read.kind = 'events' then
        objects_found := v_reversed;
    end if;
end
$$;
comment on function payout.take_listed_transfers(payout.stripe_reads, jsonb) is
    'Returns the transfers, each once and in order of their ids, those whose id cannot be read '
    'aside; their discrepancies; and the number of discrepancies and alarms, or, for events, of '
    'the transfers of which more is reversed than was known.';
