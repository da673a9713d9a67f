-- queue_grants: the rights on procrastinate's schema; run after each change of that schema.
--
-- `payout-engine migrate` runs it. procrastinate's functions run as their caller, hence the
-- rights on its tables. They decide nothing about money.

grant usage on schema procrastinate
    to payout_owner, payout_worker, payout_operator, payout_auditor;
grant select, insert, update, delete on all tables in schema procrastinate
    to payout_owner, payout_worker;
grant usage on all sequences in schema procrastinate to payout_owner, payout_worker;
grant select on all tables in schema procrastinate to payout_operator, payout_auditor;
revoke execute on all functions in schema procrastinate from public;
grant execute on all functions in schema procrastinate to payout_owner, payout_worker;
