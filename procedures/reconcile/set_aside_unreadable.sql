-- set_aside_unreadable: record the objects of a page that cannot be read, each as a discrepancy.
--
-- They stop nobody else's: the page is taken with the others. A comparison can do without all
-- fields but the id; a look-up needs each field that tells whose transfer it is.

create or replace function payout.set_aside_unreadable(
    p_read payout.stripe_reads, p_objects jsonb
)
returns integer
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select (p_read.kind in ('newest', 'comparison'))::integer * payout.record_discrepancies(array(
        select distinct on (n.name) row(
            'unreadable_at_stripe', p_read.payout_transfer_id, n.name, '{}'::jsonb,
            jsonb_build_object('path', p_read.path, 'object', left(o::text, 2000)), null
        )::payout.discrepancy
        from jsonb_array_elements(p_objects) as o
        cross join lateral (select left(coalesce(
            payout.read_text(o -> 'id'),
            'without id: ' || encode(sha256(convert_to(o::text, 'UTF8')), 'hex')), 255)
        ) as n (name)
        where case p_read.kind
            when 'lookup' then not (payout.read_stripe_transfer(o)).is_readable
            when 'reversals' then payout.read_reversal(o, p_read.stripe_transfer_id) is null
            when 'events' then (payout.read_stripe_transfer(
                o #> '{data,object}')).stripe_transfer_id is null
            else (payout.read_stripe_transfer(o)).stripe_transfer_id is null
        end
        order by n.name
    ), p_read.read_id)
$$;
comment on function payout.set_aside_unreadable(payout.stripe_reads, jsonb) is
    'Records discrepancies of kind unreadable_at_stripe; returns their number for the count of a '
    'comparison, 0 for other reads.';
