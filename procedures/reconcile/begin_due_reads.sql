-- begin_due_reads: begin the look-ups, or the reads of reversals, that are due.
--
-- Reversals of a transfer at Stripe wait until one of ours is paid by it.
-- Safe to repeat: a read is begun once more after ten minutes.
-- Locks: rows of transfer_states, with the transfers that the reads refer to, or of
-- reversed_transfers, skipping those that are locked.

create or replace function payout.begin_due_reads(p_kind text, p_worker text, p_limit integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_ids bigint[];
begin
    with parked as (
        update payout.transfer_states as s
        set next_lookup_at = v_now + interval '10 minutes'
        where s.payout_transfer_id = any (array(
            select d.payout_transfer_id
            from payout.transfer_states as d
            join payout.payout_transfers as t on t.payout_transfer_id = d.payout_transfer_id
            where p_kind = 'lookup'
                and d.next_lookup_at <= v_now
                and payout.progress_problem(d) is null
            order by d.next_lookup_at
            limit p_limit
            for update of d skip locked
            for key share of t skip locked))
        returning s.payout_transfer_id
    ), reversed as (
        update payout.reversed_transfers as r
        set next_lookup_at = v_now + interval '10 minutes'
        where r.stripe_transfer_id = any (array(
            select d.stripe_transfer_id
            from payout.reversed_transfers as d
            where p_kind = 'reversals'
                and d.next_lookup_at <= v_now
                and exists (
                    select from payout.transfer_states as s
                    where s.stripe_transfer_id = d.stripe_transfer_id
                )
            order by d.next_lookup_at
            limit p_limit
            for update skip locked))
        returning r.stripe_transfer_id
    ), begun as (
        insert into payout.stripe_reads (
            kind, path, queries, next_parameters, payout_transfer_id, stripe_transfer_id, worker,
            begun_at, adoption_id)
        select p_kind, q.path, q.queries, q.queries -> 0, q.payout_transfer_id,
            q.stripe_transfer_id, p_worker, v_now,
            (select max(a.adoption_id) from payout.adoptions as a)
        from (
            select '/v1/transfers', payout.lookup_queries(t), t.payout_transfer_id, null
            from parked as p
            join payout.payout_transfers as t on t.payout_transfer_id = p.payout_transfer_id
            union all
            select format('/v1/transfers/%s/reversals', r.stripe_transfer_id), '[{}]', null,
                r.stripe_transfer_id
            from reversed as r
        ) as q (path, queries, payout_transfer_id, stripe_transfer_id)
        returning read_id
    )
    select coalesce(array_agg(b.read_id order by b.read_id), '{}') into v_ids from begun as b;
    return v_ids;
end
$$;
comment on function payout.begin_due_reads(text, text, integer) is
    'Begins up to p_limit reads of kind lookup or reversals and returns them.';
