-- Verify 0006-books: each query fails if what it names is missing.

-- exists: procedures/ledger/booked_places.sql
select 'payout.booked_places()'::regprocedure;
-- end exists: procedures/ledger/booked_places.sql

-- exists: procedures/ledger/fold_facts.sql
select 'payout.fold_facts()'::regprocedure;
-- end exists: procedures/ledger/fold_facts.sql

-- exists: procedures/api/auditor/balances_as_of.sql
select 'payout_api.balances_as_of(timestamptz)'::regprocedure;
-- end exists: procedures/api/auditor/balances_as_of.sql

-- exists: procedures/api/auditor/seal_head.sql
select 'payout_api.seal_head()'::regprocedure;
-- end exists: procedures/api/auditor/seal_head.sql

-- exists: procedures/api/auditor/verify_projection.sql
select 'payout_api.verify_projection()'::regprocedure;
-- end exists: procedures/api/auditor/verify_projection.sql

-- exists: procedures/api/auditor/verify_seals.sql
select 'payout_api.verify_seals(bigint, text)'::regprocedure;
-- end exists: procedures/api/auditor/verify_seals.sql

-- exists: procedures/api/worker/seal.sql
select 'payout_api.seal(integer)'::regprocedure;
-- end exists: procedures/api/worker/seal.sql

-- exists: procedures/doctor/check_seals.sql
select 'payout.check_seals()'::regprocedure;
-- end exists: procedures/doctor/check_seals.sql

-- exists: procedures/seals/add_seal.sql
select 'payout.add_seal(text, bigint, integer, timestamptz)'::regprocedure;
-- end exists: procedures/seals/add_seal.sql

-- exists: procedures/seals/check_seal.sql
select 'payout.check_seal(payout.seals)'::regprocedure;
-- end exists: procedures/seals/check_seal.sql

-- exists: procedures/seals/check_seal_chain.sql
select 'payout.check_seal_chain(payout.seals)'::regprocedure;
-- end exists: procedures/seals/check_seal_chain.sql

-- exists: procedures/seals/check_seal_rows.sql
select 'payout.check_seal_rows(payout.seals)'::regprocedure;
-- end exists: procedures/seals/check_seal_rows.sql

-- exists: procedures/seals/newest_row_id.sql
select 'payout.newest_row_id(text)'::regprocedure;
-- end exists: procedures/seals/newest_row_id.sql

-- exists: procedures/seals/row_sha256.sql
select 'payout.row_sha256(jsonb)'::regprocedure;
-- end exists: procedures/seals/row_sha256.sql

-- exists: procedures/seals/seal_sha256.sql
select 'payout.seal_sha256(payout.seals)'::regprocedure;
-- end exists: procedures/seals/seal_sha256.sql

-- exists: procedures/seals/seal_up_to_mark.sql
select 'payout.seal_up_to_mark(payout.seal_marks, timestamptz, integer)'::regprocedure;
-- end exists: procedures/seals/seal_up_to_mark.sql

-- exists: procedures/seals/subtotals_at.sql
select 'payout.subtotals_at(bigint)'::regprocedure;
-- end exists: procedures/seals/subtotals_at.sql

-- exists: procedures/seals/subtotals_of.sql
select 'payout.subtotals_of(payout.seals)'::regprocedure;
-- end exists: procedures/seals/subtotals_of.sql

-- exists: sql/views/ledger_balances.sql
select 'payout_api.ledger_balances'::regclass;
-- end exists: sql/views/ledger_balances.sql

-- exists: sql/views/trial_balance.sql
select 'payout_api.trial_balance'::regclass;
-- end exists: sql/views/trial_balance.sql
