-- begin_reversals: begin to read the reversals of transfers that have more than is booked.
--
-- Called by: claim_reads. A transfer at Stripe waits until a transfer of ours is paid by it.
-- Locks: rows of reversed_transfers, skipping those that are locked.

create or replace function payout.begin_reversals(p_worker text, p_limit integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_ids bigint[];
begin
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
    ), moved as (
        update payout.reversed_transfers as r
        set next_lookup_at = v_now + interval '10 minutes'
        from due as d
        where r.stripe_transfer_id = d.stripe_transfer_id
        returning r.stripe_transfer_id
    ), begun as (
        insert into payout.stripe_reads (
            kind, path, queries, next_parameters, stripe_transfer_id, worker, begun_at,
            adoption_id)
        select 'reversals', format('/v1/transfers/%s/reversals', m.stripe_transfer_id), '[{}]',
            '{}', m.stripe_transfer_id, p_worker, v_now,
            (select max(a.adoption_id) from payout.adoptions as a)
        from moved as m
        returning read_id
    )
    select coalesce(array_agg(b.read_id order by b.read_id), '{}') into v_ids from begun as b;
    return v_ids;
end
$$;
comment on function payout.begin_reversals(text, integer) is
    'Begins up to p_limit reads of reversals and returns them.';
