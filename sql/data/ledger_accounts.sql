-- ledger_accounts: the chart of accounts.

insert into payout.ledger_accounts (account, is_per_payee, meaning) values
    ('settlement_funds', false,
        'The amounts that settlements assigned to payees; its debit is all ever owed.'),
    ('payable', true, 'Owed to a payee and not being sent.'),
    ('in_flight', false, 'Reserved for transfers that are neither paid nor given up.'),
    ('stripe_balance', false, 'Moved by Stripe out of the platform''s balance.'),
    ('paid_outside', false, 'Paid in another way, as an operator has said with a reference.')
on conflict do nothing;
