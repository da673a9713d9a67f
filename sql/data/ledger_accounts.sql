-- ledger_accounts: the chart of accounts.

insert into payout.ledger_accounts (account, meaning) values
    ('settlement_funds',
        'The amounts that settlements assigned to payees; its debit is all ever owed.'),
    ('payable', 'Owed to a payee and not being sent.'),
    ('in_flight', 'Reserved for transfers that are neither paid nor given up.'),
    ('stripe_balance', 'Moved by Stripe out of the platform''s balance.'),
    ('paid_outside', 'Paid in another way, as an operator has said with a reference.')
on conflict do nothing;
