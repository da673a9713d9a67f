-- adopt_seen: of transfers that are about to be sent, those that Stripe has already are not.
--
-- Called by: claim_transfers, which holds the locks. A database that was restored
-- has forgotten them; reconcile has seen them.

create or replace function payout.adopt_seen(p_payout_transfer_ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_seen_ids bigint[];
    v_sightings text[];
begin
    if not exists (select from payout.stripe_sightings) then
        return p_payout_transfer_ids;
    end if;
    select array_agg(t.payout_transfer_id), array_agg(g.stripe_transfer_id)
    into v_seen_ids, v_sightings
    from payout.payout_transfers as t
    join payout.stripe_sightings as g on g.payout_ref = t.payout_ref
    where t.payout_transfer_id = any (p_payout_transfer_ids);

    if v_seen_ids is null then
        return p_payout_transfer_ids;
    end if;
    perform payout.adopt_sightings(v_sightings);
    return array(
        select t.payout_transfer_id
        from payout.payout_transfers as t
        where t.payout_transfer_id = any (p_payout_transfer_ids)
            and t.payout_transfer_id <> all (v_seen_ids)
            and t.settlement_id <> all (payout.held_subjects('settlement')));
end
$$;
comment on function payout.adopt_seen(bigint[]) is
    'Adopts what was seen at Stripe and returns the others, which may be sent.';
