-- Verify 0009-open-discrepancies: each query fails if what it names is missing.

-- exists: procedures/api/worker/open_discrepancies.sql
select 'payout_api.open_discrepancies()'::regprocedure;
-- end exists: procedures/api/worker/open_discrepancies.sql

-- exists: procedures/execution/call_person.sql
select 'payout.call_person(text, text)'::regprocedure;
-- end exists: procedures/execution/call_person.sql

-- exists: procedures/execution/raise_alarm.sql
select 'payout.raise_alarm(payout.outcome, payout.judgement)'::regprocedure;
-- end exists: procedures/execution/raise_alarm.sql
