-- Verify 0001-foundation: each query fails if what it names is missing.

-- exists: procedures/guards/refuse_late_lines.sql
select 'payout.refuse_late_lines(text)'::regprocedure;
-- end exists: procedures/guards/refuse_late_lines.sql

-- exists: procedures/guards/tg__refuse_change.sql
select 'payout.tg__refuse_change()'::regprocedure;
-- end exists: procedures/guards/tg__refuse_change.sql

-- exists: procedures/guards/tg_holds__release_once.sql
select 'payout.tg_holds__release_once()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.holds'::regclass and tgname = '_500_release_once';
-- end exists: procedures/guards/tg_holds__release_once.sql

-- exists: procedures/guards/tg_transfer_states__check_transition.sql
select 'payout.tg_transfer_states__check_transition()'::regprocedure;
select 1 / count(*) from pg_trigger
where tgrelid = 'payout.transfer_states'::regclass and tgname = '_500_check_transition';
-- end exists: procedures/guards/tg_transfer_states__check_transition.sql

-- exists: procedures/scheduling/clock.sql
select 'payout.clock()'::regprocedure;
-- end exists: procedures/scheduling/clock.sql

select settlement_id, currency, total_minor, state from payout.settlements where false;
select settlement_id, line_id, payee_id, amount_minor from payout.settlement_lines where false;
select payout_transfer_id, payout_ref, request, request_sha256 from payout.payout_transfers where false;
select payout_transfer_id, state, generation, attempt, lease_until from payout.transfer_states where false;
select debit_account, credit_account, amount_minor, kind from payout.ledger_entries where false;
select 1 / count(*) from payout.engine_settings;
