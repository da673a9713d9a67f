-- Verify 0002-orchestration: each query fails if what it names is missing.

-- exists: procedures/scheduling/check_settlement.sql
select 'payout.check_settlement(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/check_settlement.sql

-- exists: procedures/scheduling/metadata_problem.sql
select 'payout.metadata_problem(jsonb)'::regprocedure;
-- end exists: procedures/scheduling/metadata_problem.sql

-- exists: procedures/scheduling/read_lines.sql
select 'payout.read_lines(text, jsonb)'::regprocedure;
-- end exists: procedures/scheduling/read_lines.sql

-- exists: procedures/scheduling/refuse_bad_amounts.sql
select 'payout.refuse_bad_amounts(text, text)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_amounts.sql

-- exists: procedures/scheduling/refuse_bad_header.sql
select 'payout.refuse_bad_header(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_header.sql

-- exists: procedures/scheduling/refuse_bad_payees.sql
select 'payout.refuse_bad_payees(text)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_payees.sql

-- exists: procedures/scheduling/refuse_bad_total.sql
select 'payout.refuse_bad_total(payout.settlements)'::regprocedure;
-- end exists: procedures/scheduling/refuse_bad_total.sql

-- exists: procedures/scheduling/settlement_difference.sql
select 'payout.settlement_difference(payout.settlements, text, payout.settlement_lines[], timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/scheduling/settlement_difference.sql

-- exists: procedures/scheduling/tg_settlements__schedule_payout_job.sql
select 'payout.tg_settlements__schedule_payout_job()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.settlements'::regclass and tgname = '_900_schedule_payout_job';
-- end exists: procedures/scheduling/tg_settlements__schedule_payout_job.sql

-- exists: procedures/scheduling/transfer_request.sql
select 'payout.transfer_request(text, payout.settlements, text, text, bigint, text)'::regprocedure;
-- end exists: procedures/scheduling/transfer_request.sql

-- exists: procedures/api/app/complete_settlement.sql
select 'payout_api.complete_settlement(text, text, jsonb, timestamptz, jsonb)'::regprocedure;
-- end exists: procedures/api/app/complete_settlement.sql

-- exists: procedures/api/app/register_payee.sql
select 'payout_api.register_payee(text, text)'::regprocedure;
-- end exists: procedures/api/app/register_payee.sql
