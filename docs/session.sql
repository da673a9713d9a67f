\set SHOW_CONTEXT never
-- The application registers a payee and completes a settlement; the commit schedules the payout.
set role payout_app;
select payout_api.register_payee('seller_1', 'acct_1');
begin;
insert into payout.settlements (settlement_id, currency, total_minor) values ('set_1', 'usd', 1500);
insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor)
    values ('set_1', '1', 'seller_1', 1000), ('set_1', '2', 'seller_1', 500);
update payout.settlements set state = 'complete' where settlement_id = 'set_1';
commit;

-- A worker pays; here one is run by hand.
\! payout-engine execute 1

-- Cheat: complete the settlement again, with the same content and with more.
select payout_api.complete_settlement(p_settlement_id => 'set_1', p_currency => 'usd', p_lines =>
    '[{"line_id":"1","payee_id":"seller_1","amount_minor":1000},
      {"line_id":"2","payee_id":"seller_1","amount_minor":500}]');
select payout_api.complete_settlement(p_settlement_id => 'set_1', p_currency => 'usd', p_lines =>
    '[{"line_id":"1","payee_id":"seller_1","amount_minor":9000}]');

-- Cheat: slip a line into it.
insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor)
    values ('set_1', '3', 'seller_1', 9000);

-- Cheat as superuser: raise the amount, ask for the money again, lose the evidence.
reset role;
update payout.payout_transfers set amount_minor = 9000;
update payout.transfer_states set state = 'scheduled', next_attempt_at = now();
set session_replication_role = replica;
delete from payout.ledger_entries;
truncate payout.transfer_observations cascade;
reset session_replication_role;

-- Run the worker again. The books still balance.
\! payout-engine execute 1
select state, currency, transfers, amount_minor from payout_api.overview;
select account, debit_minor, credit_minor, balance_minor from payout_api.ledger_balances order by 1;
select currency, difference_minor, in_flight_minor, open_transfers_minor
from payout_api.trial_balance;
