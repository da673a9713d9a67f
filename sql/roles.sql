-- roles: the six group roles, none of which can log in, and the two schemas.
--
-- Grant the roles to logins of your own: `grant payout_worker to my_worker_login`.
-- Roles belong to the cluster, so they are made once and outlive a revert. The
-- installing login runs this file; payout_owner runs all that comes after it.

reset role;

do $$
declare
    v_role text;
begin
    foreach v_role in array array[
        'payout_owner', 'payout_app', 'payout_worker', 'payout_operator', 'payout_approver',
        'payout_auditor'
    ]
    loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = v_role) then
            execute format('create role %I nologin', v_role);
        end if;
    end loop;

    -- Only a member may hand objects to payout_owner; a superuser needs no membership.
    if not pg_catalog.pg_has_role(current_user, 'payout_owner', 'member') then
        execute format('grant payout_owner to %I', current_user);
    end if;
end
$$;

comment on role payout_owner is 'Owns every object of the payout engine; no login uses it.';
comment on role payout_app is
    'The marketplace: registers payees, inserts and completes settlements.';
comment on role payout_worker is
    'The process that calls Stripe: claims transfers, reports outcomes.';
comment on role payout_operator is
    'Operators on call: hold, release and the other calls with a reason.';
comment on role payout_approver is
    'The second person: approves what an operator has proposed, never what he proposed himself.';
comment on role payout_auditor is 'Reads everything, changes nothing.';

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

alter default privileges for role payout_owner revoke execute on functions from public;

-- A caller who may create temporary objects could put them in front of a name.
do $$
begin
    execute format('revoke temporary on database %I from public', current_database());
end
$$;

set local role payout_owner;
