-- roles: the six group roles, none of which can log in, and the two schemas.
--
-- Grant the roles to logins of your own: `grant payout_worker to my_worker_login`.
-- Roles belong to the cluster, so they are made once and outlive a revert. The
-- installing login runs this file; payout_owner runs all that comes after it.

reset role;

do $$
declare
    v_role record;
begin
    for v_role in
        select *
        from (values
            ('payout_owner', 'Owns every object of the payout engine; no login uses it.'),
            ('payout_app',
                'The marketplace: registers payees, inserts and completes settlements.'),
            ('payout_worker',
                'The process that calls Stripe: claims transfers, reports outcomes.'),
            ('payout_operator',
                'Operators on call: hold, release and the other calls with a reason.'),
            ('payout_approver',
                'The second person: approves what an operator has proposed, never what he '
                'proposed himself.'),
            ('payout_auditor', 'Reads everything, changes nothing.')
        ) as r (name, description)
    loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = v_role.name) then
            execute format('create role %I nologin', v_role.name);
        end if;
        -- Those of another installation in the cluster, or made by hand, may be another login's.
        if pg_catalog.shobj_description(v_role.name::pg_catalog.regrole, 'pg_authid') is null then
            begin
                execute format('comment on role %I is %L', v_role.name, v_role.description);
            exception when insufficient_privilege then
                raise debug 'role % has no comment', v_role.name;
            end;
        end if;
    end loop;

    -- Only a member may hand objects to payout_owner; a superuser needs no membership.
    if not pg_catalog.pg_has_role(current_user, 'payout_owner', 'member') then
        execute format('grant payout_owner to %I', current_user);
    end if;
end
$$;

create schema if not exists payout authorization payout_owner;
comment on schema payout is
    'Private: tables, guards and the functions behind payout_api. These tables '
    'are the truth; the queue only wakes workers.';
create schema if not exists payout_api authorization payout_owner;
comment on schema payout_api is
    'Everything that may be called: by the application, the worker, operators and auditors.';

grant usage on schema payout to payout_app, payout_operator, payout_auditor;
grant usage on schema payout_api to
    payout_app, payout_worker, payout_operator, payout_approver, payout_auditor;

-- So a file grants only to further roles. The second one is of tables and of views.
alter default privileges for role payout_owner revoke execute on functions from public;
alter default privileges for role payout_owner in schema payout, payout_api
    grant select on tables to payout_operator, payout_auditor;

-- A caller who may create temporary objects could put them in front of a name.
do $$
begin
    execute format('revoke temporary on database %I from public', current_database());
end
$$;

set local role payout_owner;
