-- claim_lookups: hand out the parked transfers that are due to be looked up at Stripe.
--
-- Called by: worker. A look-up moves no money, so it asks for neither holds nor an adoption.
-- Safe to repeat: an unfinished look-up is handed out again after ten minutes.
-- Locks: the transfers' progress rows, skipping those that are locked.
-- Raises: SP404 (bind_stripe_account); SP311 limit out of range.

create or replace function payout_api.claim_lookups(
    p_worker text,
    p_limit integer default 20,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null
)
returns table (lookup_id bigint, payout_transfer_id bigint, queries jsonb)
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
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.next_lookup_at <= v_now
        order by s.next_lookup_at
        limit p_limit
        for update skip locked
    ), moved as (
        update payout.transfer_states as s
        set next_lookup_at = v_now + interval '10 minutes'
        from due as d
        where s.payout_transfer_id = d.payout_transfer_id
        returning s.payout_transfer_id
    ), begun as (
        insert into payout.transfer_lookups (payout_transfer_id, worker, queries, begun_at)
        select t.payout_transfer_id, p_worker, payout.lookup_queries(t), v_now
        from moved as m
        join payout.payout_transfers as t on t.payout_transfer_id = m.payout_transfer_id
        returning transfer_lookups.*
    )
    select b.lookup_id, b.payout_transfer_id, b.queries
    from begun as b
    order by b.lookup_id;
end
$$;
comment on function payout_api.claim_lookups(text, integer, text, boolean) is
    'Hands out up to p_limit due look-ups, each with the queries of Stripe''s list of transfers '
    'that answer it, numbered from 0. The Stripe account is that of the worker''s key.';
revoke execute on function payout_api.claim_lookups(text, integer, text, boolean) from public;
grant execute on function payout_api.claim_lookups(text, integer, text, boolean) to payout_worker;
