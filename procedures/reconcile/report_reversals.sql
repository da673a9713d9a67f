-- report_reversals: book the reversals that Stripe has made of a transfer.
--
-- Called by: worker, with all reversals of the transfer. It stays paid.
-- Safe to repeat: each reversal is booked once.
-- Locks: the transfer's row of reversed_transfers.
-- Raises: SP341 a transfer that is not known to be reversed or pays none here; a malformed list.

create or replace function payout_api.report_reversals(
    p_stripe_transfer_id text, p_reversals jsonb
)
returns table (reversals_booked integer, is_complete boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_transfer payout.payout_transfers;
    v_wanted_minor bigint;
    v_problem text := payout.reversal_list_problem(p_stripe_transfer_id, p_reversals);
    v_booked integer := 0;
begin
    select r.amount_reversed_minor into v_wanted_minor
    from payout.reversed_transfers as r
    where r.stripe_transfer_id = p_stripe_transfer_id
    for update;
    select t.* into v_transfer
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.stripe_transfer_id = p_stripe_transfer_id and v_wanted_minor > 0;
    if v_problem is not null or v_transfer.payout_transfer_id is null then
        perform payout.refuse_list(
            format('reversals of %s', coalesce(p_stripe_transfer_id, 'null')),
            coalesce(v_problem, 'no reversal of it is known, or it pays no transfer'));
    end if;

    v_problem := payout.reversals_problem(v_transfer, p_reversals);
    if v_problem is null then
        v_booked := payout.book_reversals(v_transfer, p_reversals);
    else
        perform payout.record_discrepancies(array[payout.reversals_discrepancy(
            v_transfer, p_stripe_transfer_id, v_problem, p_reversals)], null);
    end if;
    return query
    select v_booked, payout.close_reversal_lookup(v_transfer, p_stripe_transfer_id, v_problem);
end
$$;
comment on function payout_api.report_reversals(text, jsonb) is
    'Takes all of Stripe''s reversals of a transfer; returns how many were booked now, and '
    'whether the books have the whole amount that is known to be reversed.';
revoke execute on function payout_api.report_reversals(text, jsonb) from public;
grant execute on function payout_api.report_reversals(text, jsonb) to payout_worker;
