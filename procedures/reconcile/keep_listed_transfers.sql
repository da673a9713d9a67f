-- keep_listed_transfers: store listed transfers of ours that no paid transfer explains.
--
-- Transfers that are unknown here are stored too: a claim never sends a listed transfer.

create or replace function payout.keep_listed_transfers(
    p_seen payout.stripe_transfer[], p_read_id bigint
)
returns setof text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with unexplained as materialized (
        select l.*
        from unnest(p_seen) as l
        where l.belongs_to is not null
            and not exists (
                select from payout.transfer_states as s
                where s.stripe_transfer_id = l.stripe_transfer_id
            )
    ), kept as (
        insert into payout.listed_transfers (
            stripe_transfer_id, payout_ref, amount_minor, amount_reversed_minor, currency,
            destination, is_livemode, named_payout_ref, named_engine, named_settlement, created_at,
            read_id, seen_at)
        select u.stripe_transfer_id, u.belongs_to, u.amount_minor,
            coalesce(u.amount_reversed_minor, 0), u.currency, u.destination, u.is_livemode,
            u.payout_ref, u.payout_engine, u.settlement_id, u.created_at, p_read_id, payout.clock()
        from unexplained as u
        order by u.stripe_transfer_id
        on conflict do nothing
        returning stripe_transfer_id
    )
    select u.stripe_transfer_id
    from unexplained as u
    join payout.payout_transfers as t on t.payout_ref = u.belongs_to
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where case
        when s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked') then true
        -- The sweep schedules its next key, and then judges it.
        when s.state = 'failed' and s.next_attempt_at is not null then false
        else u.stripe_transfer_id in (select k.stripe_transfer_id from kept as k)
    end;
end
$$;
comment on function payout.keep_listed_transfers(payout.stripe_transfer[], bigint) is
    'Returns the ids of those that are to be judged now.';
