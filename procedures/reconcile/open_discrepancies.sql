-- open_discrepancies: the discrepancies that wait for an operator, by kind.
--
-- Leaves out the edits of an application, which say nothing about Stripe: the doctor warns of them.

create or replace function payout_api.open_discrepancies()
returns table (kind text, open_count bigint, since timestamptz, advice text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select d.kind, count(*), min(d.found_at),
        (array_agg(d.advice order by d.found_at, d.discrepancy_id))[1]
    from payout.discrepancies as d
    where d.resolved_at is null and d.kind <> 'settlement_edited'
    group by d.kind
    order by min(d.found_at), d.kind
$$;
comment on function payout_api.open_discrepancies() is
    'Unresolved discrepancies by kind, edits of the application aside: number, time of the oldest, '
    'and the next step for it.';
grant execute on function payout_api.open_discrepancies()
    to payout_worker, payout_operator, payout_auditor;
