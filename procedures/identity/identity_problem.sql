-- identity_problem: the reason why claims are refused, as a sentence.
--
-- Volatile although it only reads: a claim that waited for a change of the Stripe account then
-- sees that claims were stopped.

create or replace function payout.identity_problem()
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_adoption payout.adoptions;
    v_current record;
    v_changes text;
begin
    select * into v_adoption from payout.adoptions as e order by e.adoption_id desc limit 1;
    if not found then
        return 'It was never adopted, and it had transfers when it was installed.';
    end if;
    if v_adoption.system_identifier is null then
        return format('Claims were stopped: %s.', v_adoption.reason);
    end if;

    v_current := payout.database_identity();
    v_changes := concat_ws('; ',
        case when v_current.system_identifier <> v_adoption.system_identifier then
            format('system from %s to %s',
                v_adoption.system_identifier, v_current.system_identifier) end,
        case when v_current.timeline_id <> v_adoption.timeline_id then
            format('timeline from %s to %s', v_adoption.timeline_id, v_current.timeline_id) end,
        case when v_current.database_oid <> v_adoption.database_oid then
            format('database from %s to %s', v_adoption.database_oid, v_current.database_oid) end,
        case when v_current.table_oid <> v_adoption.table_oid then
            format('tables from %s to %s', v_adoption.table_oid, v_current.table_oid) end);
    -- A copy of an installation that never claimed, such as a template, has forgotten nothing, or
    -- Stripe's newest transfers show it before the first claim (refuse_unsafe_database). A
    -- promoted standby may have forgotten the first claims a moment ago.
    if v_changes <> '' and (
        not v_adoption.is_installation
        or (v_adoption.system_identifier = v_current.system_identifier
            and v_adoption.timeline_id <> v_current.timeline_id)
    ) then
        return format('Changed since: %s.', v_changes);
    end if;

    -- Rows that were loaded into a new installation, or replicated to it, bring no adoption.
    if v_adoption.is_installation and v_adoption.recorded_at > (
        select t.created_at from payout.payout_transfers as t order by t.payout_transfer_id limit 1
    ) then
        return 'It has transfers from before it was installed.';
    end if;
    -- The first claim of an installation writes an adoption of its own (adopt_at_first_claim).
    if v_adoption.is_installation and exists (select from payout.transfer_attempts)
        and not exists (
            select from payout.adoptions as e
            where e.adoption_id > v_adoption.adoption_id and e.is_first_claim
        ) then
        return 'It has attempts that another installation handed out.';
    end if;
    return null;
end
$$;
comment on function payout.identity_problem() is
    'Names the difference between the identity of the database and the adopted one, or another '
    'reason to refuse claims; null: none.';
