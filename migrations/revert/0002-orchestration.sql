-- Revert 0002-orchestration.

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: sql/error_codes.sql b193eb8f0c5b
-- error_codes: every error the engine raises by itself, with what the caller does about it.

create or replace view payout_api.error_codes as
select c.sqlstate, c.meaning, c.reaction
from (values
    ('SP101', 'a fact may not be changed or removed', 'stop and alert'),
    ('SP102', 'a complete settlement may not be changed', 'stop and alert'),
    ('SP103', 'attempts and keys of a transfer only count up', 'stop and alert'),
    ('SP104', 'a hold can only be released, once', 'stop and alert'),
    ('SP201', 'the transfer is in a state that knows no such move', 'finish quietly'),
    ('SP402', 'another transaction came first: repeat this one', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_auditor;
-- end frozen: sql/error_codes.sql

-- dropped: sql/views/trial_balance.sql
drop view if exists payout_api.trial_balance;
-- end dropped: sql/views/trial_balance.sql

-- dropped: sql/views/ledger_balances.sql
drop view if exists payout_api.ledger_balances;
-- end dropped: sql/views/ledger_balances.sql

-- dropped: procedures/api/app/register_payee.sql
drop function if exists payout_api.register_payee(text, text);
-- end dropped: procedures/api/app/register_payee.sql

-- dropped: procedures/api/app/complete_settlement.sql
drop function if exists payout_api.complete_settlement(text, text, jsonb, timestamptz, jsonb);
-- end dropped: procedures/api/app/complete_settlement.sql

-- dropped: procedures/scheduling/transfer_request.sql
drop function if exists payout.transfer_request(text, payout.settlements, text, text, bigint, text);
-- end dropped: procedures/scheduling/transfer_request.sql

-- dropped: procedures/scheduling/tg_settlements__schedule_payout_job.sql
drop trigger if exists _900_schedule_payout_job on payout.settlements;
drop function if exists payout.tg_settlements__schedule_payout_job();
-- end dropped: procedures/scheduling/tg_settlements__schedule_payout_job.sql

-- dropped: procedures/scheduling/settlement_difference.sql
drop function if exists payout.settlement_difference(payout.settlements, text, payout.settlement_lines[], timestamptz, jsonb);
-- end dropped: procedures/scheduling/settlement_difference.sql

-- dropped: procedures/scheduling/schedule_payout_job.sql
drop function if exists payout.schedule_payout_job(text);
-- end dropped: procedures/scheduling/schedule_payout_job.sql

-- dropped: procedures/scheduling/refuse_bad_total.sql
drop function if exists payout.refuse_bad_total(payout.settlements);
-- end dropped: procedures/scheduling/refuse_bad_total.sql

-- dropped: procedures/scheduling/refuse_bad_payees.sql
drop function if exists payout.refuse_bad_payees(text);
-- end dropped: procedures/scheduling/refuse_bad_payees.sql

-- dropped: procedures/scheduling/refuse_bad_header.sql
drop function if exists payout.refuse_bad_header(payout.settlements);
-- end dropped: procedures/scheduling/refuse_bad_header.sql

-- dropped: procedures/scheduling/refuse_bad_amounts.sql
drop function if exists payout.refuse_bad_amounts(text, text);
-- end dropped: procedures/scheduling/refuse_bad_amounts.sql

-- dropped: procedures/scheduling/read_lines.sql
drop function if exists payout.read_lines(text, jsonb);
-- end dropped: procedures/scheduling/read_lines.sql

-- dropped: procedures/scheduling/metadata_problem.sql
drop function if exists payout.metadata_problem(jsonb);
-- end dropped: procedures/scheduling/metadata_problem.sql

-- dropped: procedures/scheduling/create_transfers.sql
drop function if exists payout.create_transfers(payout.settlements, bigint);
-- end dropped: procedures/scheduling/create_transfers.sql

-- dropped: procedures/scheduling/check_settlement.sql
drop function if exists payout.check_settlement(payout.settlements);
-- end dropped: procedures/scheduling/check_settlement.sql

reset role;
