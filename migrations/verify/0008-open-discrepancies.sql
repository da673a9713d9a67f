-- Verify 0008-open-discrepancies: each query fails if what it names is missing.

-- exists: procedures/api/worker/open_discrepancies.sql
select 'payout_api.open_discrepancies()'::regprocedure;
-- end exists: procedures/api/worker/open_discrepancies.sql

-- exists: procedures/doctor/expected_rights.sql
select 'payout.expected_rights()'::regprocedure;
-- end exists: procedures/doctor/expected_rights.sql
