-- Verify 0004-doorbell: each query fails if what it names is missing.

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
