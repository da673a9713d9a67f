-- check_settlement_rows: lines and jobs without a settlement, and secrets in metadata.
--
-- The rows that a settlement makes have no foreign keys (check_references).

create or replace function payout.check_settlement_rows(p_from text, p_to text)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every reference has its row', o.name,
        'rows were changed while the guards were off: compare with a backup'
    from (
        select l.settlement_id, format('settlement_lines %s %s', l.settlement_id, l.line_id)
        from payout.settlement_lines as l
        union all
        select j.settlement_id, 'payout_jobs ' || j.payout_job_id
        from payout.payout_jobs as j
    ) as o (settlement_id, name)
    where o.settlement_id between p_from and p_to
        and not exists (
            select from payout.settlements as s
            where s.settlement_id = o.settlement_id and s.settlement_id between p_from and p_to
        )
    union all
    select 'no secret in any row', 'settlements.metadata ' || s.settlement_id,
        'revoke that key at Stripe, then find out who wrote it'
    from payout.settlements as s
    where s.settlement_id between p_from and p_to
        and s.metadata::text ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;
comment on function payout.check_settlement_rows(text, text) is
    'Part of payout_api.verify_settlements().';
