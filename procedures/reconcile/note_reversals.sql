-- note_reversals: of which of our transfers Stripe has taken back more than was known.
--
-- The amount only grows, so that what is seen twice or late changes nothing.

create or replace function payout.note_reversals(p_seen payout.listed_transfers[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_noted integer;
begin
    insert into payout.reversed_transfers as r (
        stripe_transfer_id, amount_reversed_minor, next_lookup_at)
    select g.stripe_transfer_id, max(g.amount_reversed_minor), payout.clock()
    from unnest(p_seen) as g
    where g.amount_reversed_minor > 0
        and (g.payout_ref is not null or exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = g.stripe_transfer_id))
    group by g.stripe_transfer_id
    order by g.stripe_transfer_id
    on conflict (stripe_transfer_id) do update
    set amount_reversed_minor = excluded.amount_reversed_minor,
        next_lookup_at = excluded.next_lookup_at
    where r.amount_reversed_minor < excluded.amount_reversed_minor;
    get diagnostics v_noted = row_count;
    return v_noted;
end
$$;
comment on function payout.note_reversals(payout.listed_transfers[]) is
    'Has the reversals of transfers looked up where more was taken back than was known; returns '
    'of how many.';
