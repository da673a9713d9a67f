-- tg_settlement_lines__refuse_frozen: refuse to change lines once their settlement is scheduled.
--
-- Being complete does not freeze them yet: within one transaction the settlement may come before
-- its lines, or after them. New lines of a settlement that this very transaction wrote and has
-- not scheduled need no more than one look. On insert it is ORIGIN: a copy loads lines after
-- their job.
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
    perform payout.check_lines_of(
        array(select distinct c.settlement_id::text from changed as c), tg_op = 'INSERT');
    return null;
end
$$;
comment on function payout.tg_settlement_lines__refuse_frozen() is
    'Trigger: refuses to add, change or remove lines of a settlement that has been scheduled '
    '(SP102).';
