-- resolve_paid: resolve discrepancies about transfers that a listed transfer has paid.
--
-- Locks: discrepancies and holds, skipping those that another session has locked.

create or replace function payout.resolve_paid(p_stripe_transfer_ids text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('Stripe has transfer %s as %s, as it was asked for.',
            s.payout_transfer_id, s.stripe_transfer_id)
    from payout.transfer_states as s
    cross join lateral (
        select o.discrepancy_id
        from payout.discrepancies as o
        where o.resolved_at is null
            and o.kind <> 'several_transfers_at_stripe'
            and (
                o.stripe_transfer_id = s.stripe_transfer_id
                or (o.payout_transfer_id = s.payout_transfer_id and o.stripe_transfer_id is null)
            )
        for update skip locked
    ) as u
    where s.stripe_transfer_id = any (p_stripe_transfer_ids)
        and d.discrepancy_id = u.discrepancy_id;

    -- A hold that a person placed stays.
    perform payout.end_holds(array(
        select h.hold_id
        from payout.transfer_states as s
        join payout.holds as h on h.scope = 'transfer' and h.released_at is null
            and h.subject = s.payout_transfer_id::text
        where s.stripe_transfer_id = any (p_stripe_transfer_ids)
            and h.discrepancy_id is not null
            and not exists (
                select from payout.discrepancies as d
                where d.payout_transfer_id = s.payout_transfer_id and d.resolved_at is null
            )
        for update of h skip locked), 'engine', 'its alarms are resolved');
end
$$;
comment on function payout.resolve_paid(text[]) is
    'Resolves the open discrepancies of the transfers that are paid by these ids, except those of '
    'several transfers at Stripe, and releases the holds that their alarms placed.';
