-- adopt: adopt this database, so that it hands out transfers again.
--
-- Called by: adopt_database, to see that it can be done, and do_proposed, which does it.
-- Locks: the row of settings, so that two operators record one adoption.
-- A comparison does not show transfers that the old database sent after it began: hence it must
-- have begun within the last hour, however long it took.
-- Raises: SP320 no reason; SP410 no comparison by this identity, or no recent one.

create or replace function payout.adopt(
    p_reason text, p_without_reconcile boolean, p_preview boolean default false
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
    v_adoption_id bigint;
    v_read_id bigint;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'a database is not adopted without a reason'
            using
                errcode = 'SP320',
                hint = 'Say why this database is the true one now.';
    end if;

    perform from payout.engine_settings for update;
    v_problem := payout.identity_problem();
    if v_problem is null then
        return 'already';
    end if;

    select r.read_id into v_read_id
    from payout.newest_read('comparison') as r
    where r.begun_at >= payout.clock() - interval '1 hour';
    if v_read_id is null and p_without_reconcile is not true then
        raise exception 'the database is not adopted: no comparison with Stripe of the last hour'
            using
                errcode = 'SP410',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, then adopt_database within an '
                    'hour of its start; or pass p_without_reconcile => true if no transfer can '
                    'have been forgotten.';
    end if;

    if p_preview then
        return 'preview';
    end if;
    insert into payout.adoptions (
        system_identifier, timeline_id, database_oid, table_oid, read_id, reason)
    select w.*, v_read_id, p_reason from payout.database_identity() as w
    returning adoption_id into v_adoption_id;
    insert into payout.operator_actions (action, subject, reason, details)
    values ('adopt_database', v_adoption_id, p_reason, jsonb_build_object(
        'read_id', v_read_id, 'problem', v_problem));
    return 'done';
end
$$;
comment on function payout.adopt(text, boolean, boolean) is
    'Adopts the database under its present identity once a comparison that began within the last '
    'hour has finished, or without one: done, already or preview.';
