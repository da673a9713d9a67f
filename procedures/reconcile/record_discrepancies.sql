-- record_discrepancies: store discrepancies, and notify operators of those that are new.
--
-- A discrepancy that is found again stays the same row, also once it is resolved. It is a new row
-- if a comparison no longer found it meanwhile, or if its content differs from the resolved one
-- (is_explained).

create or replace function payout.record_discrepancies(
    p_discrepancies payout.discrepancy[], p_read_id bigint
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_discrepancies payout.discrepancy[];
    v_new record;
    v_found integer;
begin
    -- A resolution that is under way is waited for, and then respected.
    perform
    from payout.discrepancies as d
    join unnest(p_discrepancies) as n
        on n.kind = d.kind and n.stripe_transfer_id = d.stripe_transfer_id
    where d.is_compared and d.resolved_at is null
    order by d.stripe_transfer_id, d.kind
    for update of d;
    v_discrepancies := array(
        select n from unnest(p_discrepancies) as n
        where not payout.is_explained(n)
        order by n.stripe_transfer_id, n.kind);
    if v_discrepancies = '{}' then
        return 0;
    end if;
    for v_new in
        select n.kind, count(*) as discrepancies, min(n.stripe_transfer_id) as example
        from unnest(v_discrepancies) as n
        where not exists (
            select from payout.discrepancies as d
            where d.kind = n.kind
                and d.stripe_transfer_id = n.stripe_transfer_id
                and d.is_compared
                and d.resolved_at is null
        )
        group by n.kind
        order by n.kind
    loop
        perform payout.notify_operators(
            v_new.kind, format('%s found, %s among them', v_new.discrepancies, v_new.example));
    end loop;

    insert into payout.discrepancies as d (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice, is_compared,
        found_by_read_id, last_found_by_read_id)
    select n.kind, n.payout_transfer_id, n.stripe_transfer_id, n.ours, n.theirs,
        k.advice, true, p_read_id, p_read_id
    from unnest(v_discrepancies) as n
    join payout.discrepancy_kinds as k on k.kind = n.kind
    on conflict (kind, stripe_transfer_id) where is_compared and resolved_at is null
    do update set last_found_by_read_id = coalesce(
        excluded.last_found_by_read_id, d.last_found_by_read_id);
    get diagnostics v_found = row_count;
    return v_found;
end
$$;
comment on function payout.record_discrepancies(payout.discrepancy[], bigint) is
    'Stores each discrepancy once; returns how many are open.';
