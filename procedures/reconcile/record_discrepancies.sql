-- record_discrepancies: keep where Stripe and the books disagree, and call a person about what is new.
--
-- What is found again is the same row, also when a person has resolved it. It is
-- a new one if a run no longer found it meanwhile, or if it says something else
-- than what was resolved (is_explained).

create or replace function payout.record_discrepancies(
    p_discrepancies payout.discrepancy[], p_reconcile_run_id bigint
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
    -- Who is resolving one of them is waited for, and then believed.
    perform
    from payout.discrepancies as d
    join unnest(p_discrepancies) as f on f.kind = d.kind and f.stripe_transfer_id = d.stripe_transfer_id
    where d.is_compared and d.resolved_at is null
    order by d.stripe_transfer_id, d.kind
    for update of d;
    v_discrepancies := array(
        select f from unnest(p_discrepancies) as f
        where not payout.is_explained(f)
        order by f.stripe_transfer_id, f.kind);
    if v_discrepancies = '{}' then
        return 0;
    end if;
    for v_new in
        select f.kind, count(*) as findings, min(f.stripe_transfer_id) as example
        from unnest(v_discrepancies) as f
        where not exists (
            select from payout.discrepancies as d
            where d.kind = f.kind
                and d.stripe_transfer_id = f.stripe_transfer_id
                and d.is_compared
                and d.resolved_at is null
        )
        group by f.kind
        order by f.kind
    loop
        perform payout.notify_operators(
            v_new.kind, format('%s found, %s among them', v_new.findings, v_new.example));
    end loop;

    insert into payout.discrepancies as d (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice, is_compared,
        found_by_run_id, last_found_by_run_id)
    select f.kind, f.payout_transfer_id, f.stripe_transfer_id, f.ours, f.theirs,
        k.advice, true, p_reconcile_run_id, p_reconcile_run_id
    from unnest(v_discrepancies) as f
    join payout.discrepancy_kinds as k on k.kind = f.kind
    on conflict (kind, stripe_transfer_id) where is_compared and resolved_at is null
    do update set last_found_by_run_id = coalesce(
        excluded.last_found_by_run_id, d.last_found_by_run_id);
    get diagnostics v_found = row_count;
    return v_found;
end
$$;
comment on function payout.record_discrepancies(payout.discrepancy[], bigint) is
    'Stores findings as discrepancies, each once; returns how many are open.';
