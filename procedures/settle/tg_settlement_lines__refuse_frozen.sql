-- tg_settlement_lines__refuse_frozen: refuse to change lines once their settlement is scheduled.
--
-- Being complete does not freeze the lines yet: within one transaction they may come after a
-- settlement that is complete at once. New lines of a settlement that this very transaction wrote
-- and has not scheduled need no more than one look; for others the settlement is locked. On
-- insert it is ORIGIN: a copy loads lines after their job.
-- Raises: SP102 the settlement has been scheduled; SP310 there is no such settlement.

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
    v_settlement_ids text[];
    v_frozen_id text;
begin
    if tg_op = 'INSERT' then
        -- `offset 0`: two look-ups for each line, never a whole table for all.
        perform from changed as c
        where not exists (
            select from payout.settlements as s
            where s.settlement_id = c.settlement_id
                and s.xmin = pg_current_xact_id()::xid
            offset 0
        ) or exists (
            select from payout.payout_jobs as j
            where j.settlement_id = c.settlement_id
            offset 0
        )
        limit 1;
        if not found then
            return null;
        end if;
    end if;

    v_settlement_ids := array(select distinct c.settlement_id::text from changed as c);
    perform payout.lock_settlements_of_lines(v_settlement_ids, tg_op <> 'DELETE');

    -- With immediate constraints the very statement that inserts both has scheduled the
    -- settlement by now, and a copy may load the job first: with these lines, if they add up.
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
        raise exception 'settlement % is complete: its lines cannot be changed', v_frozen_id
            using
                errcode = 'SP102',
                detail = 'Its payouts were scheduled from exactly the lines it had.',
                hint = 'Record a correction as another settlement.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return null;
end
$$;
comment on function payout.tg_settlement_lines__refuse_frozen() is
    'Trigger: refuses to add, change or remove lines of a settlement that has been scheduled '
    '(SP102), and lines of none (SP310).';
