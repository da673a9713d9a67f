-- check_settlements: the settlements of a range that are not scheduled as their lines say.
--
-- Also lines and jobs without a settlement: the rows that a settlement makes have no foreign keys
-- (check_references); and secrets in metadata.

create or replace function payout.check_settlements(p_from text, p_to text)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with settled as not materialized (
        select s.* from payout.settlements as s where s.settlement_id between p_from and p_to
    ), lines as not materialized (
        select l.* from payout.settlement_lines as l where l.settlement_id between p_from and p_to
    ), jobs as not materialized (
        select j.* from payout.payout_jobs as j where j.settlement_id between p_from and p_to
    )
    select 'every settlement is paid as its lines say', w.settlement_id::text,
        'compare its lines with its transfers; settle the missing amount under another id'
    from (
        select m.settlement_id
        from (
            select l.settlement_id, l.payee_id, l.source_transaction, l.amount_minor as owed_minor,
                0 as made_minor
            from lines as l
            where exists (select from jobs as j where j.settlement_id = l.settlement_id)
            union all
            select t.settlement_id, t.payee_id, t.source_transaction, 0, t.amount_minor
            from payout.payout_transfers as t
            where t.settlement_id between p_from and p_to
        ) as m
        group by m.settlement_id, m.payee_id, m.source_transaction
        having sum(m.owed_minor) <> sum(m.made_minor)
        union
        select s.settlement_id
        from settled as s
        left join lines as l on l.settlement_id = s.settlement_id
        where exists (select from jobs as j where j.settlement_id = s.settlement_id)
        group by s.settlement_id, s.total_minor
        having s.total_minor is distinct from sum(l.amount_minor)
    ) as w
    union all
    select 'every complete settlement is scheduled', s.settlement_id,
        'select payout.schedule_payout_job(settlement_id), as superuser'
    from settled as s
    where s.state = 'complete'
        and not exists (select from jobs as j where j.settlement_id = s.settlement_id)
    union all
    select 'every reference has its row', o.name,
        'rows were changed while the guards were off: compare with a backup'
    from (
        select l.settlement_id, format('settlement_lines %s %s', l.settlement_id, l.line_id)
        from lines as l
        union all
        select j.settlement_id, 'payout_jobs ' || j.payout_job_id from jobs as j
    ) as o (settlement_id, name)
    where not exists (select from settled as s where s.settlement_id = o.settlement_id)
    union all
    select 'no secret in any row', 'settlements.metadata ' || s.settlement_id,
        'revoke that key at Stripe, then find out who wrote it'
    from settled as s
    where s.metadata::text ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;
comment on function payout.check_settlements(text, text) is
    'Part of payout_api.verify_settlements().';
