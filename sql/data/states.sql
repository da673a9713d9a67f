-- states: the states of a transfer and the moves between them; docs/states.md draws them.

insert into payout.states (
    state, is_final, status, status_on_hold, entry_kind, credit_account, meaning)
values
    ('scheduled', false, 'scheduled', 'on_hold', null, null,
        'Owed and reserved; Stripe has not been asked under this key.'),
    ('in_flight', false, 'sending', 'sending', null, null,
        'A worker holds the lease and may be talking to Stripe.'),
    ('retry_wait', false, 'sending', 'on_hold', null, null,
        'Surely not executed; sent again when due, same key.'),
    ('unknown', false, 'sending', 'sending', null, null,
        'Perhaps executed; sent again when due, same key only.'),
    ('parked', false, 'sending', 'sending', null, null,
        'The engine must not go on by itself; the reason says why.'),
    ('failed', false, 'failed', 'failed', 'release', null,
        'Stripe declined; the books owe the payee again.'),
    ('paid', true, 'paid', 'paid', 'paid', 'stripe_balance',
        'Stripe holds exactly this transfer.'),
    ('cancelled', true, 'cancelled', 'cancelled', 'cancel', 'settlement_funds',
        'Withdrawn by an operator: not owed after all.'),
    ('settled_outside', true, 'settled_outside', 'settled_outside', 'settle_outside',
        'paid_outside', 'Paid in another way, as an operator has said.')
on conflict do nothing;

insert into payout.state_edges (from_state, to_state, why) values
    ('scheduled', 'in_flight', 'claimed by a worker'),
    ('scheduled', 'cancelled', 'withdrawn by an operator before it was sent under this key'),
    ('scheduled', 'settled_outside', 'paid in another way before it was sent under this key'),
    ('scheduled', 'parked', 'Stripe reported a success under another key'),
    ('scheduled', 'paid', 'found in Stripe''s list before it was sent'),
    ('retry_wait', 'in_flight', 'claimed again, same key'),
    ('retry_wait', 'paid', 'a late success'),
    ('retry_wait', 'parked', 'an answer contradicts the row, the key is too old, or an operator'),
    ('unknown', 'in_flight', 'claimed again, same key'),
    ('unknown', 'paid', 'a late success, or found at Stripe'),
    ('unknown', 'parked', 'an answer contradicts the row, the key is too old, or an operator'),
    ('unknown', 'failed', 'proved absent at Stripe'),
    ('in_flight', 'paid', 'Stripe made the transfer'),
    ('in_flight', 'failed', 'a decline saved under the key, no other attempt open'),
    ('in_flight', 'retry_wait', 'surely not executed'),
    ('in_flight', 'unknown', 'no certain answer, or the lease ran out'),
    ('in_flight', 'parked', 'an operator must look, or the attempts are used up'),
    ('parked', 'paid', 'a late success, or found at Stripe'),
    ('parked', 'failed', 'proved absent at Stripe, or given up by two people'),
    ('failed', 'scheduled', 'a new key, where the evidence allows it'),
    ('failed', 'cancelled', 'withdrawn by an operator'),
    ('failed', 'settled_outside', 'paid in another way')
on conflict do nothing;
