-- identity_problem: what keeps the gate closed, in a sentence; null while it is open.
--
-- Volatile although it only reads: then a claim that waited for somebody who
-- closes the gate sees that it is closed.

create or replace function payout.identity_problem()
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_adoption payout.adoptions;
    v_here record;
    v_changes text;
begin
    select * into v_adoption from payout.adoptions as e order by e.adoption_id desc limit 1;
    if not found then
        return 'It was never adopted, and it had transfers when the gate was built.';
    end if;
    if v_adoption.system_identifier is null then
        return format('The gate was closed: %s.', v_adoption.reason);
    end if;

    v_here := payout.database_identity();
    v_changes := concat_ws('; ',
        case when v_here.system_identifier <> v_adoption.system_identifier then
            format('system from %s to %s', v_adoption.system_identifier, v_here.system_identifier) end,
        case when v_here.timeline_id <> v_adoption.timeline_id then
            format('timeline from %s to %s', v_adoption.timeline_id, v_here.timeline_id) end,
        case when v_here.database_oid <> v_adoption.database_oid then
            format('database from %s to %s', v_adoption.database_oid, v_here.database_oid) end,
        case when v_here.table_oid <> v_adoption.table_oid then
            format('tables from %s to %s', v_adoption.table_oid, v_here.table_oid) end);
    if v_changes <> '' then
        return format('Changed since: %s.', v_changes);
    end if;

    -- Rows that were loaded into a new installation, or replicated to it, bring no adoption along.
    if v_adoption.is_installation and v_adoption.recorded_at > (
        select t.created_at from payout.payout_transfers as t order by t.payout_transfer_id limit 1
    ) then
        return 'It has transfers from before it was installed.';
    end if;
    -- The first claim here writes an adoption of its own (adopt_at_first_claim).
    if v_adoption.is_installation and exists (select from payout.transfer_attempts)
        and not exists (
            select from payout.adoptions as e
            where e.adoption_id > v_adoption.adoption_id and e.is_first_claim
        ) then
        return 'It has attempts that were not handed out here.';
    end if;
    return null;
end
$$;
comment on function payout.identity_problem() is
    'Says how this place differs from where the database was last adopted; null: it does not.';
