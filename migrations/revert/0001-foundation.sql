-- Revert 0001-foundation: everything but the roles, which belong to the cluster.

set local lock_timeout = '5s';
set local statement_timeout = '60s';

drop schema payout_api cascade;
drop schema payout cascade;

alter default privileges for role payout_owner grant execute on functions to public;
do $$
begin
    execute format('grant temporary on database %I to public', current_database());
end
$$;

-- dropped: sql/error_codes.sql
drop view if exists payout_api.error_codes;
-- end dropped: sql/error_codes.sql

-- dropped: procedures/ledger/accounts_fit.sql
drop function if exists payout.accounts_fit(text, text, text);
-- end dropped: procedures/ledger/accounts_fit.sql

-- dropped: procedures/scheduling/request_fits.sql
drop function if exists payout.request_fits(jsonb, bigint, text, text, text, text, text, text);
-- end dropped: procedures/scheduling/request_fits.sql

-- dropped: procedures/scheduling/payout_ref.sql
drop function if exists payout.payout_ref(text, text, text);
-- end dropped: procedures/scheduling/payout_ref.sql

-- dropped: procedures/scheduling/clock.sql
drop function if exists payout.clock();
-- end dropped: procedures/scheduling/clock.sql

-- dropped: procedures/guards/tg_transfer_states__check_transition.sql
drop trigger if exists _500_check_transition on payout.transfer_states;
drop function if exists payout.tg_transfer_states__check_transition();
-- end dropped: procedures/guards/tg_transfer_states__check_transition.sql

-- dropped: procedures/guards/tg_transfer_states__check_progress.sql
drop trigger if exists _511_check_progress on payout.transfer_states;
drop trigger if exists _510_check_start on payout.transfer_states;
drop function if exists payout.tg_transfer_states__check_progress();
-- end dropped: procedures/guards/tg_transfer_states__check_progress.sql

-- dropped: procedures/guards/tg_settlements__refuse_frozen.sql
drop trigger if exists _500_refuse_frozen on payout.settlements;
drop function if exists payout.tg_settlements__refuse_frozen();
-- end dropped: procedures/guards/tg_settlements__refuse_frozen.sql

-- dropped: procedures/guards/tg_settlement_lines__refuse_frozen.sql
drop trigger if exists _903_refuse_frozen_delete on payout.settlement_lines;
drop trigger if exists _902_refuse_frozen_update_to on payout.settlement_lines;
drop trigger if exists _901_refuse_frozen_update_from on payout.settlement_lines;
drop trigger if exists _900_refuse_frozen_insert on payout.settlement_lines;
drop function if exists payout.tg_settlement_lines__refuse_frozen();
-- end dropped: procedures/guards/tg_settlement_lines__refuse_frozen.sql

-- dropped: procedures/guards/tg_lines_ahead__check_settlement.sql
drop trigger if exists _900_check_settlement on payout.lines_ahead;
drop function if exists payout.tg_lines_ahead__check_settlement();
-- end dropped: procedures/guards/tg_lines_ahead__check_settlement.sql

-- dropped: procedures/guards/tg_holds__release_once.sql
drop trigger if exists _500_release_once on payout.holds;
drop function if exists payout.tg_holds__release_once();
-- end dropped: procedures/guards/tg_holds__release_once.sql

-- dropped: procedures/guards/tg__refuse_change.sql
drop function if exists payout.tg__refuse_change();
-- end dropped: procedures/guards/tg__refuse_change.sql

-- dropped: procedures/guards/refuse_late_lines.sql
drop function if exists payout.refuse_late_lines(text);
-- end dropped: procedures/guards/refuse_late_lines.sql
