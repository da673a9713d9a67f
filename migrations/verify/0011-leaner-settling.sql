-- Verify 0011-leaner-settling: each query fails if what it names is missing.

-- exists: procedures/doctor/expected_rights.sql
select 'payout.expected_rights()'::regprocedure;
-- end exists: procedures/doctor/expected_rights.sql
