-- tg_settlement_lines__refuse_frozen: lines are frozen once their settlement is scheduled.
--
-- Not once it is complete: within one transaction the settlement may come
-- before its lines, or after them (then lines_ahead is looked at once more at
-- commit). A line of a pending settlement writes that row, so that whoever
-- completes it with an older snapshot fails (40001) instead of missing the line.
-- Definer: the application may write lines, but not read payout_jobs.
-- Raises: SP102 the settlement has been scheduled.

create or replace function payout.tg_settlement_lines__refuse_frozen()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_settlement_ids text[] := array(
        select distinct c.settlement_id::text from changed as c);
    v_found integer;
    v_has_older boolean;
    v_frozen_id text;
begin
    select count(*)::integer, coalesce(bool_or(l.is_older), false) into v_found, v_has_older
    from (
        select s.state = 'pending' and s.xmin <> pg_current_xact_id()::xid as is_older
        from payout.settlements as s
        where s.settlement_id = any (v_settlement_ids)
        order by s.settlement_id
        for no key update
    ) as l;

    if v_found < cardinality(v_settlement_ids) then
        insert into payout.lines_ahead (settlement_id)
        select i.settlement_id::payout.external_id
        from unnest(v_settlement_ids) as i (settlement_id)
        where not exists (
            select from payout.settlements as s where s.settlement_id = i.settlement_id
        )
        order by i.settlement_id
        on conflict do nothing;
    end if;

    if v_has_older then
        update payout.settlements as s
        set state = s.state
        where s.settlement_id = any (v_settlement_ids)
            and s.state = 'pending'
            and s.xmin <> pg_current_xact_id()::xid;
    end if;

    -- With immediate constraints the very statement that inserts both has scheduled
    -- the settlement by now; it did so with these lines if they add up.
    select j.settlement_id::text into v_frozen_id
    from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = any (v_settlement_ids)
        and (tg_op <> 'INSERT' or s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = j.settlement_id
        ))
    limit 1;
    if found then
        perform payout.refuse_late_lines(v_frozen_id);
    end if;
    return null;
end
$$;
comment on function payout.tg_settlement_lines__refuse_frozen() is
    'Trigger: refuses lines of a settlement that has been scheduled (SP102).';

create or replace trigger _900_refuse_frozen_insert
    after insert on payout.settlement_lines
    referencing new table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();

create or replace trigger _901_refuse_frozen_update_from
    after update on payout.settlement_lines
    referencing old table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _901_refuse_frozen_update_from;

create or replace trigger _902_refuse_frozen_update_to
    after update on payout.settlement_lines
    referencing new table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _902_refuse_frozen_update_to;

create or replace trigger _903_refuse_frozen_delete
    after delete on payout.settlement_lines
    referencing old table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _903_refuse_frozen_delete;
