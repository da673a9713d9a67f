-- skip_listed_transfers: leave out transfers that Stripe has already, before they are sent.
--
-- Called by: claim_transfers, which holds the locks. A restored database has forgotten that it
-- sent them; a reconcile run has listed them.

create or replace function payout.skip_listed_transfers(p_payout_transfer_ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_seen_ids bigint[];
    v_listed text[];
begin
    if not exists (select from payout.listed_transfers) then
        return p_payout_transfer_ids;
    end if;
    select array_agg(t.payout_transfer_id), array_agg(l.stripe_transfer_id)
    into v_seen_ids, v_listed
    from payout.payout_transfers as t
    join payout.listed_transfers as l on l.payout_ref = t.payout_ref
    where t.payout_transfer_id = any (p_payout_transfer_ids);

    if v_seen_ids is null then
        return p_payout_transfer_ids;
    end if;
    perform payout.record_listed_transfers(v_listed);
    return array(
        select t.payout_transfer_id
        from payout.payout_transfers as t
        where t.payout_transfer_id = any (p_payout_transfer_ids)
            and t.payout_transfer_id <> all (v_seen_ids));
end
$$;
comment on function payout.skip_listed_transfers(bigint[]) is
    'Judges those that were listed and returns the others, which may be sent.';
