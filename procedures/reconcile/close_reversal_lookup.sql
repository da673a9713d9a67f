-- close_reversal_lookup: decide when the reversals of a transfer are read again.
--
-- Stripe's list of reversals may lag: a list that is short of the known amount is read again
-- later. Reversals that contradict the transfer wait for an operator, or until more is reversed.

create or replace function payout.close_reversal_lookup(
    p_transfer payout.payout_transfers, p_stripe_transfer_id text, p_problem text
)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_is_complete boolean;
begin
    update payout.reversed_transfers as r
    set next_lookup_at = case
            when p_problem is null and b.booked_minor < r.amount_reversed_minor
                then payout.clock() + interval '10 minutes'
            -- More was reversed since it was handed out: note_reversals asked for another read.
            when r.next_lookup_at <= payout.clock() then r.next_lookup_at
        end,
        amount_reversed_minor = greatest(r.amount_reversed_minor, b.booked_minor)
    from (
        select coalesce(sum(e.amount_minor), 0)::bigint as booked_minor
        from payout.ledger_entries as e
        where e.payout_transfer_id = p_transfer.payout_transfer_id and e.kind = 'reversal'
    ) as b
    where r.stripe_transfer_id = p_stripe_transfer_id
    returning b.booked_minor >= r.amount_reversed_minor into strict v_is_complete;
    return v_is_complete;
end
$$;
comment on function payout.close_reversal_lookup(payout.payout_transfers, text, text) is
    'True when the books have the whole amount that is known to be reversed.';
