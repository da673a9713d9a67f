-- unjudged_listed_transfers: the listed transfers of transfers here that were never judged.
--
-- A settlement that was recorded, or a key that was opened, while the page was being stored is
-- sent by a claim that did not see the page.

create or replace function payout.unjudged_listed_transfers()
returns setof text
language sql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = on
set enable_hashjoin = on
set enable_mergejoin = on
as $$
    select l.stripe_transfer_id::text
    from payout.listed_transfers as l
    join payout.payout_transfers as t on t.payout_ref = l.payout_ref
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where s.stripe_transfer_id is distinct from l.stripe_transfer_id
        and (s.state <> 'failed' or s.next_attempt_at is null)
        and not exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = t.payout_transfer_id
                and o.stripe_transfer_id = l.stripe_transfer_id
        )
$$;
comment on function payout.unjudged_listed_transfers() is
    'Ids of listed transfers that match a transfer here and that no observation names.';
