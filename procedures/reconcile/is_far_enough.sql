-- is_far_enough: tell whether a read of the newest transfers may end with this page.
--
-- A page that shows a transfer which a worker has reported paid here reaches back to what this
-- database knows: Stripe lists the newest first, and what was forgotten was sent later. A transfer
-- that became paid because Stripe listed it tells nothing of that. An account whose newest
-- transfers are all of other programs is read for a hundred pages, some ten seconds.

create or replace function payout.is_far_enough(
    p_read payout.stripe_reads, p_seen payout.stripe_transfer[]
)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select
        from unnest(p_seen) as l
        join payout.transfer_states as s on s.stripe_transfer_id = l.stripe_transfer_id
        join payout.transfer_observations as o on o.payout_transfer_id = s.payout_transfer_id
        where o.signal = 'response'
            and o.moved_to = 'paid' and o.stripe_transfer_id = l.stripe_transfer_id
    ) or (
        select count(*) >= 99 from payout.stripe_read_pages as p where p.read_id = p_read.read_id
    );
end
$$;
comment on function payout.is_far_enough(payout.stripe_reads, payout.stripe_transfer[]) is
    'True when the page shows a transfer that was reported paid here, or is the hundredth.';
