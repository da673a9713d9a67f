-- claim_reversal_lookups: hand out the transfers whose reversals are to be read at Stripe.
--
-- Called by: worker. A transfer at Stripe waits until a transfer of ours is paid by it.
-- Safe to repeat: a transfer without a report is handed out again after ten minutes.
-- Locks: rows of reversed_transfers, skipping those that are locked.
-- Raises: SP404 (bind_stripe_account); SP311 limit out of range.

create or replace function payout_api.claim_reversal_lookups(
    p_worker text,
    p_limit integer default 20,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null
)
returns table (stripe_transfer_id text)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_now timestamptz := payout.clock();
begin
    perform payout.bind_stripe_account(p_stripe_account_id, p_is_livemode);
    if p_worker is null or coalesce(p_limit, 0) not between 1 and 1000 then
        raise exception 'claim of % look-ups by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'no worker')
            using
                errcode = 'SP311',
                hint = 'Name the worker, ask for 1 to 1000.';
    end if;

    return query
    with due as (
        select r.stripe_transfer_id
        from payout.reversed_transfers as r
        where r.next_lookup_at <= v_now
            and exists (
                select from payout.transfer_states as s
                where s.stripe_transfer_id = r.stripe_transfer_id
            )
        order by r.next_lookup_at
        limit p_limit
        for update skip locked
    )
    update payout.reversed_transfers as r
    set next_lookup_at = v_now + interval '10 minutes'
    from due as d
    where r.stripe_transfer_id = d.stripe_transfer_id
    returning r.stripe_transfer_id;
end
$$;
comment on function payout_api.claim_reversal_lookups(text, integer, text, boolean) is
    'Hands out up to p_limit transfers of which Stripe has reversed more than is booked.';
revoke execute on function payout_api.claim_reversal_lookups(text, integer, text, boolean)
    from public;
grant execute on function payout_api.claim_reversal_lookups(text, integer, text, boolean)
    to payout_worker;
