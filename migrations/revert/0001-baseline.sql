-- Revert 0001-baseline.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

-- The roles belong to the cluster and stay.
drop schema payout_api cascade;
drop schema payout cascade;

alter default privileges for role payout_owner grant execute on functions to public;
do $$
begin
    execute format('grant temporary on database %I to public', current_database());
end
$$;

-- generated: end
