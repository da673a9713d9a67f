-- discrepancy_kinds: the next step for what a comparison can find, and for an application's edits.

insert into payout.discrepancy_kinds (kind, advice) values
    ('missing_at_stripe',
        'Look the id up at Stripe. If it is not there the payee was not paid: find out which '
        'worker reported it, and have the amount settled as settlement missing_<its tr_ '
        'id>, which pays once however often it is recorded.'),
    ('differs_at_stripe',
        'Look both up. The amount at Stripe is the one that was paid: have the difference settled '
        'as settlement differs_<its tr_ id>, or reverse it at Stripe.'),
    ('reversals_contradict_transfer',
        'Look the transfer and its reversals up at Stripe. They do not belong to it as it was '
        'paid, so none of them was booked.'),
    ('reversed_after_settled_outside',
        'A transfer was settled outside by this one, and Stripe took it back. If the payee is to '
        'have the amount: have it settled as settlement reversed_<its tr_ id>, which pays once '
        'however often it is recorded. If it is their loss, resolve this with the reason.'),
    ('transfer_without_payout_ref',
        'It was paid past the engine, by hand or by other software. If it pays a settlement, '
        'hold that settlement before it is sent; then resolve this with the reason. For many of '
        'other software: payout_api.add_not_ours_rule.'),
    ('unknown_transfer_at_stripe',
        'This database does not know it: was it restored? Record its settlement again, '
        'unchanged: the transfer becomes paid and is not sent. If it will never be recorded, '
        'reverse the transfer at Stripe, or resolve this with the reason.'),
    ('settlement_edited',
        'The application edited rows that were settled; the payouts stay as they are. A payee who '
        'is owed more gets the difference by another settlement; one who got too much, by a '
        'reversal at Stripe or less in a later settlement.'),
    ('unreadable_at_stripe',
        'Stripe lists something that the engine cannot read, so it was set aside. Look the id up '
        'at Stripe: if it pays a transfer of yours, that one must not be sent again. Else resolve '
        'this with the reason.')
on conflict (kind) do update set advice = excluded.advice;
