-- roles: the five group roles of the engine; none of them can log in.
--
-- Grant them to logins of your own: `grant payout_worker to my_worker_login`.
-- Roles belong to the cluster, so they are made once and outlive a revert.

do $$
declare
    v_role text;
begin
    foreach v_role in array array[
        'payout_owner', 'payout_app', 'payout_worker', 'payout_operator', 'payout_auditor'
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

comment on role payout_owner is 'Owns every object of the payout engine; nobody logs in as it.';
comment on role payout_app is 'The marketplace: registers payees, inserts and completes settlements.';
comment on role payout_worker is 'The process that talks to Stripe: claims transfers, reports outcomes.';
comment on role payout_operator is 'People on call: hold, release and the other calls with a reason.';
comment on role payout_auditor is 'Reads everything, changes nothing.';
