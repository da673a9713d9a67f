-- take_events: take the transfers that a page of events shows.

create or replace function payout.take_events(p_events jsonb)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_seen payout.listed_transfers[];
begin
    -- Of several events about one transfer, the one with the most reversed counts.
    v_seen := array(
        select distinct on (l.stripe_transfer_id) l
        from payout.read_listed_transfers(null, (
            select coalesce(jsonb_agg(e #> '{data,object}'), '[]')
            from jsonb_array_elements(p_events) as e)) as l
        order by l.stripe_transfer_id, l.amount_reversed_minor desc);
    -- In the order of add_reconcile_page, with which it shares rows.
    perform payout.take_listed_transfers(v_seen, null);
    return payout.note_reversals(v_seen);
end
$$;
comment on function payout.take_events(jsonb) is
    'Returns the number of transfers of which more is reversed than was known.';
