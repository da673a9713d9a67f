-- Verify 0009-open-discrepancies: each query fails if what it names is missing.

-- exists: procedures/api/worker/open_discrepancies.sql
select 'payout_api.open_discrepancies()'::regprocedure;
-- end exists: procedures/api/worker/open_discrepancies.sql

-- exists: procedures/execution/call_person.sql
select 'payout.call_person(text, text)'::regprocedure;
-- end exists: procedures/execution/call_person.sql

-- exists: procedures/execution/expire_leases.sql
select 'payout.expire_leases(timestamptz, integer)'::regprocedure;
-- end exists: procedures/execution/expire_leases.sql

-- exists: procedures/execution/park_expired_keys.sql
select 'payout.park_expired_keys(timestamptz, integer)'::regprocedure;
-- end exists: procedures/execution/park_expired_keys.sql

-- exists: procedures/execution/raise_alarm.sql
select 'payout.raise_alarm(payout.outcome, payout.judgement)'::regprocedure;
-- end exists: procedures/execution/raise_alarm.sql

-- exists: procedures/execution/record_unknown_transfers.sql
select 'payout.record_unknown_transfers(payout.outcome[])'::regprocedure;
-- end exists: procedures/execution/record_unknown_transfers.sql
