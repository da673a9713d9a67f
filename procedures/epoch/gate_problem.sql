-- gate_problem: what keeps the gate closed, in a sentence; null while it is open.
--
-- Volatile although it only reads: then a claim that waited for somebody who
-- closes the gate sees that it is closed.

create or replace function payout.gate_problem()
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_epoch payout.epochs;
    v_here record;
    v_changes text;
begin
    select * into v_epoch from payout.epochs as e order by e.epoch_id desc limit 1;
    if not found then
        return 'It was never adopted, and it had transfers when the gate was built.';
    end if;
    if v_epoch.system_identifier is null then
        return format('The gate was closed: %s.', v_epoch.reason);
    end if;

    v_here := payout.where_we_are();
    v_changes := concat_ws('; ',
        case when v_here.system_identifier <> v_epoch.system_identifier then
            format('system from %s to %s', v_epoch.system_identifier, v_here.system_identifier) end,
        case when v_here.timeline_id <> v_epoch.timeline_id then
            format('timeline from %s to %s', v_epoch.timeline_id, v_here.timeline_id) end,
        case when v_here.database_oid <> v_epoch.database_oid then
            format('database from %s to %s', v_epoch.database_oid, v_here.database_oid) end,
        case when v_here.table_oid <> v_epoch.table_oid then
            format('tables from %s to %s', v_epoch.table_oid, v_here.table_oid) end);
    if v_changes <> '' then
        return format('Changed since: %s.', v_changes);
    end if;

    -- Rows that were loaded into a new installation, or replicated to it, bring no epoch along.
    if v_epoch.is_installation and v_epoch.recorded_at > (
        select t.created_at from payout.payout_transfers as t order by t.payout_transfer_id limit 1
    ) then
        return 'It has transfers from before it was installed.';
    end if;
    -- The first claim here writes an epoch of its own (note_first_claim).
    if v_epoch.is_installation and exists (select from payout.transfer_attempts)
        and not exists (
            select from payout.epochs as e
            where e.epoch_id > v_epoch.epoch_id and e.is_first_claim
        ) then
        return 'It has attempts that were not handed out here.';
    end if;
    return null;
end
$$;
comment on function payout.gate_problem() is
    'Says how this place differs from where the database was last adopted; null: it does not.';
