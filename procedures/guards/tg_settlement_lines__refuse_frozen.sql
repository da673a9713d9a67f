-- tg_settlement_lines__refuse_frozen: lines are frozen once their settlement is scheduled.
--
-- Not once it is complete: within one transaction the settlement may come
-- before its lines. The share lock makes a line and the scheduling of its
-- settlement wait for each other, so that no line slips in unseen.
-- Definer: the application may write lines, but not read payout_jobs.
-- Raises: SP102 the settlement has been scheduled.

create or replace function payout.tg_settlement_lines__refuse_frozen()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement_id text;
begin
    perform
    from payout.settlements as s
    where s.settlement_id in (select c.settlement_id from changed as c)
    order by s.settlement_id
    for share;

    select j.settlement_id into v_settlement_id
    from payout.payout_jobs as j
    where j.settlement_id in (select c.settlement_id from changed as c)
    limit 1;

    if found then
        raise exception 'settlement % is complete: its lines cannot be changed', v_settlement_id
            using
                errcode = 'SP102',
                detail = format('%s of a line came after its payouts were scheduled.', lower(tg_op)),
                hint = 'Record a correction as another settlement.',
                schema = tg_table_schema,
                table = tg_table_name;
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
