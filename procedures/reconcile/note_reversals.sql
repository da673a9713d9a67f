-- note_reversals: note the transfers of ours of which Stripe has reversed more than was known.
--
-- The amount only grows, so that a page that comes twice or late changes nothing. A date far ahead
-- was given after a contradiction, or by a clock that was ahead: seen again, it is now. A transfer
-- without a readable id has no reversals that could be asked for.

create or replace function payout.note_reversals(p_seen payout.stripe_transfer[])
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
    select l.stripe_transfer_id, max(l.amount_reversed_minor), payout.clock()
    from unnest(p_seen) as l
    where l.amount_reversed_minor > 0
        and l.stripe_transfer_id is not null
        and (l.belongs_to is not null or exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = l.stripe_transfer_id))
    group by l.stripe_transfer_id
    order by l.stripe_transfer_id
    on conflict (stripe_transfer_id) do update
    set amount_reversed_minor = excluded.amount_reversed_minor,
        next_lookup_at = excluded.next_lookup_at
    where r.amount_reversed_minor < excluded.amount_reversed_minor
        or (r.amount_reversed_minor = excluded.amount_reversed_minor
            and r.next_lookup_at > payout.clock() + interval '10 minutes');
    get diagnostics v_noted = row_count;
    return v_noted;
end
$$;
comment on function payout.note_reversals(payout.stripe_transfer[]) is
    'Plans the read of their reversals; returns the number of transfers.';
