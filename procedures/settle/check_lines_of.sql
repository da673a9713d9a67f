-- check_lines_of: check lines of settlements that are not of this transaction, or not there yet.
--
-- A line of a pending settlement writes the settlement's row, so that a transaction that
-- completes it with an older snapshot fails (40001) instead of missing the line. Lines whose
-- settlement was not found and locked are checked once more at commit (lines_ahead), also if it
-- has come since.
-- Raises: SP102 the settlement has been scheduled.

create or replace function payout.check_lines_of(p_settlement_ids text[], p_are_new boolean)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_found_ids text[];
    v_has_older boolean;
    v_frozen_id text;
begin
    select coalesce(array_agg(l.settlement_id), '{}'::text[]), coalesce(bool_or(l.is_older), false)
    into v_found_ids, v_has_older
    from (
        select s.settlement_id::text,
            s.state = 'pending' and s.xmin <> pg_current_xact_id()::xid as is_older
        from payout.settlements as s
        where s.settlement_id = any (p_settlement_ids)
        order by s.settlement_id
        for no key update
    ) as l;

    if cardinality(v_found_ids) < cardinality(p_settlement_ids) then
        insert into payout.lines_ahead (settlement_id)
        select i.settlement_id::payout.external_id
        from (
            select unnest(p_settlement_ids)
            except
            select unnest(v_found_ids)
        ) as i (settlement_id)
        order by i.settlement_id
        on conflict do nothing;
    end if;

    if v_has_older then
        update payout.settlements as s
        set state = s.state
        where s.settlement_id = any (p_settlement_ids)
            and s.state = 'pending'
            and s.xmin <> pg_current_xact_id()::xid;
    end if;

    -- With immediate constraints the very statement that inserts both has scheduled
    -- the settlement by now; it did so with these lines if they add up.
    select j.settlement_id::text into v_frozen_id
    from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = any (p_settlement_ids)
        and (not p_are_new or s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = j.settlement_id
        ))
    limit 1;
    if found then
        perform payout.refuse_late_lines(v_frozen_id);
    end if;
end
$$;
comment on function payout.check_lines_of(text[], boolean) is
    'Refuses changed lines of settlements that have been scheduled (SP102); guards against those '
    'that are being completed meanwhile.';
