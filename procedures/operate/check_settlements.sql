-- check_settlements: the settlements of a range that are not scheduled as their lines say.

create or replace function payout.check_settlements(p_from text, p_to text)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with owed as (
        select l.settlement_id, l.payee_id, l.source_transaction::text,
            sum(l.amount_minor) as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id between p_from and p_to
            and exists (
                select from payout.payout_jobs as j
                where j.settlement_id = l.settlement_id
                    and j.settlement_id between p_from and p_to
            )
        group by l.settlement_id, l.payee_id, l.source_transaction
    ), made as (
        select t.settlement_id, t.payee_id, t.source_transaction,
            t.amount_minor::numeric as amount_minor
        from payout.payout_transfers as t
        where t.settlement_id between p_from and p_to
    ), total as (
        select s.settlement_id, s.total_minor::numeric as amount_minor
        from payout.settlements as s
        where s.settlement_id between p_from and p_to
            and exists (
                select from payout.payout_jobs as j
                where j.settlement_id = s.settlement_id
                    and j.settlement_id between p_from and p_to
            )
    )
    select 'every settlement is paid as its lines say', w.settlement_id::text,
        'compare its lines with its transfers; settle the missing amount under another id'
    from (
        select o.settlement_id from (table owed except table made) as o
        union
        select m.settlement_id from (table made except table owed) as m
        union
        select t.settlement_id
        from (
            table total
            except
            select o.settlement_id, sum(o.amount_minor) from owed as o group by o.settlement_id
        ) as t
    ) as w
    union all
    select 'every complete settlement is scheduled', s.settlement_id,
        'select payout.schedule_payout_job(settlement_id), as superuser'
    from payout.settlements as s
    where s.settlement_id between p_from and p_to
        and s.state = 'complete'
        and not exists (
            select from payout.payout_jobs as j
            where j.settlement_id = s.settlement_id and j.settlement_id between p_from and p_to
        )
$$;
comment on function payout.check_settlements(text, text) is
    'Part of payout_api.verify_settlements().';
