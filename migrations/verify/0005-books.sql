-- Verify 0005-books: each query fails if what it names is missing.

-- exists: procedures/ledger/booked_places.sql
select 'payout.booked_places()'::regprocedure;
-- end exists: procedures/ledger/booked_places.sql

-- exists: procedures/ledger/fold_facts.sql
select 'payout.fold_facts()'::regprocedure;
-- end exists: procedures/ledger/fold_facts.sql

-- exists: procedures/ledger/newest_facts.sql
select 'payout.newest_facts()'::regprocedure;
-- end exists: procedures/ledger/newest_facts.sql

-- exists: procedures/api/auditor/verify_projection.sql
select 'payout_api.verify_projection()'::regprocedure;
-- end exists: procedures/api/auditor/verify_projection.sql

-- exists: procedures/doctor/check_rights.sql
select 'payout.check_rights()'::regprocedure;
-- end exists: procedures/doctor/check_rights.sql

-- exists: procedures/execution/expire_leases.sql
select 'payout.expire_leases(timestamptz, integer)'::regprocedure;
-- end exists: procedures/execution/expire_leases.sql

-- exists: procedures/execution/record_outcomes.sql
select 'payout.record_outcomes(payout.outcome[])'::regprocedure;
-- end exists: procedures/execution/record_outcomes.sql
