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
-- The application asks for one settlement, and reads each change since it last looked.
select payee_id, amount_minor, currency, status from payout_api.payout_status where settlement_id = 'set_1';
select outcome_id, settlement_id, payee_id, amount_minor, status from payout_api.outcomes_since(p_after => 0);
-- Both lines went out as one transfer, and the books balance.
reset role;
select state, currency, transfers, amount from payout_api.overview;
select account, currency, debit, credit, balance from payout_api.ledger_balances order by 1;
