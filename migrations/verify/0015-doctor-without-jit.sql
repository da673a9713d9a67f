-- Verify 0015-doctor-without-jit: each query fails if what it names is missing.

-- exists: procedures/api/operator/doctor.sql
select 'payout_api.doctor(text, boolean)'::regprocedure;
-- end exists: procedures/api/operator/doctor.sql
