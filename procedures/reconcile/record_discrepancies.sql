-- record_discrepancies: store discrepancies, and notify operators of those that are new.
--
-- A discrepancy that is found again stays the same row, also once it is resolved. It is a new row
-- if a comparison no longer found it meanwhile, or if its content differs from the resolved one
-- (is_explained). A row that is there is only read: no operator who resolves it, and has not
-- committed yet, is waited for.

create or replace function payout.record_discrepancies(
    p_discrepancies payout.discrepancy[], p_read_id bigint
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_open payout.discrepancy[] := array(
        select n from unnest(p_discrepancies) as n
        where not payout.is_explained(n));
    v_new record;
begin
    for v_new in
        with recorded as (
            insert into payout.discrepancies (
                kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice,
                found_by_read_id)
            select n.kind, n.payout_transfer_id, n.stripe_transfer_id, n.ours, n.theirs,
                k.advice, p_read_id
            from unnest(v_open) as n
            join payout.discrepancy_kinds as k on k.kind = n.kind
            -- The key alone would wait for the transaction of an operator.
            where not exists (
                select from payout.discrepancies as d
                where d.kind = n.kind
                    and d.stripe_transfer_id = n.stripe_transfer_id
                    and d.found_by_read_id is not null
                    and d.resolved_at is null
            )
            order by n.stripe_transfer_id, n.kind
            on conflict (kind, stripe_transfer_id)
                where found_by_read_id is not null and resolved_at is null
            do nothing
            returning kind, stripe_transfer_id, discrepancy_id
        )
        select r.kind, count(*) as discrepancies, min(r.stripe_transfer_id) as example,
            array_agg(r.discrepancy_id order by r.discrepancy_id) as discrepancy_ids
        from recorded as r
        group by r.kind
        order by r.kind
    loop
        perform payout.notify_operators(
            v_new.kind, format('%s found, %s among them', v_new.discrepancies, v_new.example),
            jsonb_build_object(
                'read_id', p_read_id, 'discrepancy_ids', v_new.discrepancy_ids[1:20]));
    end loop;
    return cardinality(v_open);
end
$$;
comment on function payout.record_discrepancies(payout.discrepancy[], bigint) is
    'Stores each discrepancy once; returns how many are open.';
