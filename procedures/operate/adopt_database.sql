-- adopt_database: adopt the database in the place where it is now; transfers are handed out again.
--
-- Called by: operator, after a restore, a promotion or a clone (docs/restore.md).
-- Safe to repeat: an open gate stays open, and nothing is recorded.
-- Locks: the row of settings, so that two people record one adoption.
-- A run knows nothing of what the old database sent after the run was begun: hence
-- it must have been begun within the last hour, however long it was under way; one
-- that was begun under a clock that has been set back since is of unknown age.
-- Raises: SP320 no reason; SP410 nothing was reconciled in this place, or not lately.

create or replace function payout_api.adopt_database(
    p_reason text, p_without_reconcile boolean default false
)
returns payout.adoptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
    v_here record;
    v_adoption payout.adoptions;
    v_run_id bigint;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'the gate is not opened without a reason'
            using
                errcode = 'SP320',
                hint = 'Say what happened to the database, and why it is the true one now.';
    end if;

    lock table payout.adoptions in access share mode;
    perform from payout.engine_settings for update;
    v_problem := payout.identity_problem();
    select * into v_adoption from payout.adoptions as e order by e.adoption_id desc limit 1;
    if v_problem is null then
        return v_adoption;
    end if;

    v_here := payout.database_identity();
    select r.reconcile_run_id into v_run_id
    from payout.reconcile_runs as r
    where r.finished_at is not null
        and (r.system_identifier, r.timeline_id, r.database_oid, r.table_oid)
            = (v_here.system_identifier, v_here.timeline_id, v_here.database_oid, v_here.table_oid)
        and (v_adoption.adoption_id is null or r.adoption_id >= v_adoption.adoption_id)
        and r.created_until between payout.clock() - interval '1 hour' and payout.clock()
    order by r.reconcile_run_id desc
    limit 1;
    if v_run_id is null and p_without_reconcile is not true then
        raise exception 'the gate stays closed: nothing was reconciled in this place lately'
            using
                errcode = 'SP410',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, then open the gate within an '
                    'hour of its start; or pass p_without_reconcile => true if nothing can have '
                    'been forgotten.';
    end if;

    insert into payout.adoptions (
        system_identifier, timeline_id, database_oid, table_oid, reconcile_run_id, reason)
    values (v_here.system_identifier, v_here.timeline_id, v_here.database_oid, v_here.table_oid,
        v_run_id, p_reason)
    returning * into v_adoption;
    insert into payout.operator_actions (action, reason, details)
    values ('adopt_database', p_reason, jsonb_build_object('adoption_id', v_adoption.adoption_id,
        'reconcile_run_id', v_run_id, 'problem', v_problem));
    return v_adoption;
end
$$;
comment on function payout_api.adopt_database(text, boolean) is
    'Adopts the database where it is now, with a reason, once a reconcile run that was begun '
    'within the last hour was finished here; p_without_reconcile does without one and is '
    'recorded. Safe to repeat.';
revoke execute on function payout_api.adopt_database(text, boolean) from public;
grant execute on function payout_api.adopt_database(text, boolean) to payout_operator;
