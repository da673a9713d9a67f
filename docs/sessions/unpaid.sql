-- Three settlements: a payee that cannot receive, a currency without funds, one on hold.
set role payout_app;
select payout_api.register_payee('seller_1', 'acct_1'), payout_api.register_payee('seller_2', 'acct_2');
select payout_api.complete_settlement(p_settlement_id => 'set_1', p_currency => 'usd',
    p_lines => '[{"line_id":"1","payee_id":"seller_2","amount_minor":1500}]');
select payout_api.complete_settlement(p_settlement_id => 'set_2', p_currency => 'eur',
    p_lines => '[{"line_id":"1","payee_id":"seller_1","amount_minor":700}]');
select payout_api.complete_settlement(p_settlement_id => 'set_3', p_currency => 'usd',
    p_lines => '[{"line_id":"1","payee_id":"seller_1","amount_minor":300}]');
reset role;
set role payout_operator;
select payout_api.hold('settlement', 'the shop asked us to wait', 'set_3') as hold_id;
\! payout-engine execute 1
\! payout-engine execute 2
\! payout-engine execute 3
-- Why is it not paid, and who acts next?
\x on
select settlement_id, state, reason, whose_turn, next_call, for_seller
from payout_api.unpaid order by settlement_id;
\x off
-- The application sees the same in its own words.
reset role;
set role payout_app;
select settlement_id, status, reason from payout_api.payout_status order by settlement_id;
reset role;
set role payout_operator;
-- Let the third one go.
select payout_api.release_hold(1, 'the shop is ready');
\! payout-engine execute 3
