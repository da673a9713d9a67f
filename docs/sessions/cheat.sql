-- A settlement in one call, and paid.
set role payout_app;
select payout_api.register_payee('seller_1', 'acct_1');
select payout_api.complete_settlement(p_settlement_id => 'set_1', p_currency => 'usd',
    p_lines => '[{"line_id":"1","payee_id":"seller_1","amount_minor":1500}]');
\! payout-engine execute 1
-- Cheat: complete it again, with the same content and with more.
select payout_api.complete_settlement(p_settlement_id => 'set_1', p_currency => 'usd',
    p_lines => '[{"line_id":"1","payee_id":"seller_1","amount_minor":1500}]');
select payout_api.complete_settlement(p_settlement_id => 'set_1', p_currency => 'usd',
    p_lines => '[{"line_id":"1","payee_id":"seller_1","amount_minor":9000}]');
-- Cheat: slip a line into it.
insert into payout.settlement_lines (settlement_id, line_id, payee_id, amount_minor)
    values ('set_1', '2', 'seller_1', 9000);
-- Cheat as superuser: raise the amount, ask for the money again, lose the evidence.
reset role;
update payout.payout_transfers set amount_minor = 9000;
update payout.transfer_states set state = 'scheduled', next_attempt_at = now();
set session_replication_role = replica;
delete from payout.ledger_entries;
truncate payout.transfer_observations cascade;
reset session_replication_role;
-- Run the worker again. Nothing is left to pay, and the books still balance.
\! payout-engine execute 1
select currency, difference_minor, in_flight_minor, open_transfers_minor
from payout_api.trial_balance;
