-- check_settlements: whether complete settlements are scheduled, to the last line.

create or replace function payout.check_settlements()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every complete settlement is scheduled', count(*) = 0,
        format('%s are not', count(*)),
        'select payout.schedule_payout_job(settlement_id), as superuser'
    from payout.settlements as s
    where s.state = 'complete'
        and not exists (
            select from payout.payout_jobs as j where j.settlement_id = s.settlement_id
        )
    union all (
        with owed as (
            select l.settlement_id, l.payee_id, l.source_transaction::text,
                sum(l.amount_minor) as amount_minor
            from payout.settlement_lines as l
            join payout.payout_jobs as j on j.settlement_id = l.settlement_id
            group by l.settlement_id, l.payee_id, l.source_transaction
        ), made as (
            select t.settlement_id, t.payee_id, t.source_transaction,
                t.amount_minor::numeric as amount_minor
            from payout.payout_transfers as t
        ), total as (
            select s.settlement_id, s.total_minor::numeric as amount_minor
            from payout.settlements as s
            join payout.payout_jobs as j on j.settlement_id = s.settlement_id
        ), wrong as (
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
        )
        select 'every settlement is paid as its lines say', count(*) = 0,
            format('%s are not%s', count(*), ', the first is ' || min(w.settlement_id)),
            'compare its lines with its transfers; settle the missing amount under another id'
        from wrong as w
    )
$$;
comment on function payout.check_settlements() is 'Part of payout_api.verify_books().';
