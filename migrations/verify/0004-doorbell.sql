-- Verify 0004-doorbell: each query fails if what it names is missing.

-- exists: procedures/scheduling/create_transfers.sql
select 'payout.create_transfers(payout.settlements, bigint, bigint[])'::regprocedure;
-- end exists: procedures/scheduling/create_transfers.sql

-- exists: procedures/scheduling/schedule_payout_job.sql
select 'payout.schedule_payout_job(text)'::regprocedure;
-- end exists: procedures/scheduling/schedule_payout_job.sql

-- exists: procedures/api/worker/sweep.sql
select 'payout_api.sweep(integer)'::regprocedure;
-- end exists: procedures/api/worker/sweep.sql

-- exists: procedures/doctor/check_books.sql
select 'payout.check_books()'::regprocedure;
-- end exists: procedures/doctor/check_books.sql

-- exists: procedures/doctor/check_queue.sql
select 'payout.check_queue()'::regprocedure;
-- end exists: procedures/doctor/check_queue.sql

-- exists: procedures/doctor/check_server.sql
select 'payout.check_server()'::regprocedure;
-- end exists: procedures/doctor/check_server.sql

-- exists: procedures/doorbell/answer_doorbells.sql
select 'payout.answer_doorbells(bigint[])'::regprocedure;
-- end exists: procedures/doorbell/answer_doorbells.sql

-- exists: procedures/doorbell/clear_lost_doorbells.sql
select 'payout.clear_lost_doorbells()'::regprocedure;
-- end exists: procedures/doorbell/clear_lost_doorbells.sql

-- exists: procedures/doorbell/defer_job.sql
select 'payout.defer_job(bigint, integer)'::regprocedure;
-- end exists: procedures/doorbell/defer_job.sql

-- exists: procedures/doorbell/has_queue.sql
select 'payout.has_queue()'::regprocedure;
-- end exists: procedures/doorbell/has_queue.sql

-- exists: procedures/doorbell/ring_doorbells.sql
select 'payout.ring_doorbells(timestamptz, integer)'::regprocedure;
-- end exists: procedures/doorbell/ring_doorbells.sql

-- exists: procedures/doorbell/ring_for_job.sql
select 'payout.ring_for_job(bigint, integer, timestamptz)'::regprocedure;
-- end exists: procedures/doorbell/ring_for_job.sql
