-- tg_lines_ahead__check_settlement: refuse lines that their settlement was scheduled without.
--
-- At commit: another transaction may by then have written the settlement and scheduled it
-- without these lines. A snapshot too old to show it cannot tell. Definer: the application may
-- write lines, but not read payout_jobs.
-- Raises: SP102 it was scheduled without the lines; SP310 there is no such settlement; SP402
-- repeat the transaction.

create or replace function payout.tg_lines_ahead__check_settlement()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    delete from payout.lines_ahead as a where a.settlement_id = new.settlement_id;

    -- Locked from the first look on: one that comes later is no settlement of these lines.
    perform from payout.settlements as s
    where s.settlement_id = new.settlement_id
    for no key update;
    if not found and current_setting('transaction_isolation') like 'read %' then
        raise exception 'settlement % does not exist', new.settlement_id
            using
                errcode = 'SP310',
                detail = 'Lines of it have been inserted.',
                hint = 'Insert the settlement and its lines in one transaction, in any order.';
    elsif not found then
        raise exception 'settlement % does not exist, or not yet when this transaction began',
            new.settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction; insert the settlement in it if no other one does.';
    end if;

    -- Written, so that a transaction that completes it with an older snapshot fails.
    update payout.settlements as s
    set state = s.state
    where s.settlement_id = new.settlement_id
        and s.state = 'pending'
        and s.xmin <> pg_current_xact_id()::xid;

    perform from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = new.settlement_id
        and s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = new.settlement_id
        );
    if found then
        perform payout.refuse_late_lines(new.settlement_id);
    end if;
    return null;
end
$$;
comment on function payout.tg_lines_ahead__check_settlement() is
    'Trigger: at commit, refuses lines whose settlement was scheduled without them (SP102), or is '
    'not there (SP310).';
