-- situations: whose turn it is with a transfer, the words for it, and the call that moves it.

insert into payout.situations (situation, whose_turn, for_seller, for_operator, next_call) values
    ('due', 'engine',
        'Your payout is about to be sent.',
        'Due: a worker sends it. If none does, payout-engine doctor says why.', null),
    ('scheduled_for_later', 'engine',
        'Your payout is scheduled.',
        'Its settlement is to be paid from {until} on. If it is not owed after all, cancel it.',
        null),
    ('waiting_for_account', 'payee',
        'Your payout waits for your payout account. Please complete it.',
        'The payee has no Stripe account yet: register_payee, and it goes out by itself.', null),
    ('looked_for_first', 'engine',
        'Your payout is being checked before it is sent.',
        'It was due for longer than a key lives: it is looked for at Stripe at {until}, and '
        'sent if it is not there.', null),
    ('being_sent', 'stripe',
        'Your payout is being sent.',
        'A worker holds it until the answer comes, or its lease ends.', null),
    ('sent_again_later', 'engine',
        'Your payout is being sent.',
        'Nothing was executed. It is sent again at {until} under the same key.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('asked_again_later', 'engine',
        'Your payout is being sent.',
        'It may have been executed. Stripe is asked again at {until} under the same key.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('looked_up', 'engine',
        'Your payout is being checked.',
        'It is looked up at Stripe at {until}: found, it is paid; proved absent, it gets a new '
        'key.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('awaits_approval', 'operator',
        'Your payout is being checked.',
        'It was proved absent at Stripe. Above the limit two people let it be sent again: look at '
        'Stripe too.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('may_be_executed_later', 'operator',
        'Your payout is being checked.',
        'Stripe may carry it out later by itself: decide in its Dashboard. Once it surely will '
        'not, two people give it up: it is sent again after a look, or, held first, settled '
        'outside or cancelled.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer}, '
        'p_force => true);'),
    ('shown_otherwise', 'operator',
        'Your payout is being checked.',
        'Stripe showed something else than was asked for ({why}): look the payout_ref up there. If '
        'it is right after all, the next look pays it; else two people give it up, and then it is '
        'settled outside, with the tr_ id, or cancelled.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer}, '
        'p_force => true);'),
    ('tried_again_later', 'engine',
        'Your payout could not be sent yet. It is tried again.',
        'It is tried again at {until} under a new key, to the payee''s present account, once a '
        'look at Stripe finds nothing of it.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('declined', 'operator',
        'Your payout could not be sent. It is being checked.',
        'Nothing is tried by itself. When the cause is gone, retry sends it under a new key to the '
        'payee''s present account; settle_outside or cancel closes it, some after a look.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('keys_used_up', 'operator',
        'Your payout could not be sent. Please check your payout account.',
        'All its keys were declined. Pay it in another way, or allow more keys '
        '(change_setting max_generations) and retry.',
        'select * from payout_api.settle_outside({transfer}, ''reference'', ''…'');'),
    ('shown_under_a_closed_key', 'operator',
        'Your payout is being checked.',
        'Stripe has shown a transfer of it after its key was given up: it is not sent again. '
        'Settle it outside with that tr_ id, or reverse that one at Stripe and pay in another way.',
        'select * from payout_api.settle_outside({transfer}, ''tr_…'', ''…'');'),
    ('on_hold', 'operator',
        'Your payout is being checked.',
        'On hold ({why}), whatever else it waits for.',
        'select payout_api.release_hold({hold}, ''…'');'),
    ('waits_for_funds', 'engine',
        'Your payout is about to be sent.',
        'The platform''s Stripe balance in this currency was used up. One transfer is tried at '
        '{until}, and once one is paid all go on. When funds were added, retry does that now.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('waits_for_account', 'engine',
        'Your payout waits for your payout account. Please complete it.',
        'The payee''s account takes no transfers yet. One is tried at {until}, and at once when '
        'another account is registered, or by retry; once it is paid the others follow.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('waits_for_account_without_end', 'operator',
        'Your payout could not be sent. Please check your payout account.',
        'The payee''s account took no transfers for three months, and nothing is tried any more. '
        'register_payee with another account, or retry once it takes them; cancel withdraws it.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('waits_for_account_change', 'engine',
        'Your payout account was changed. Your payout is sent after a waiting time.',
        'The payee''s account was changed: nothing new goes to it before {until}. If the payee '
        'has confirmed the change, release the hold.',
        'select payout_api.release_hold({hold}, ''…'');'),
    ('waits_for_cap', 'engine',
        'Your payout is scheduled.',
        'A cap is reached: it goes on at {until}. set_cap raises the cap.', null),
    ('waits_for_cap_without_end', 'operator',
        'Your payout is being checked.',
        'It is larger than a whole cap. Raise the cap with set_cap, or release the hold, and this '
        'one passes.',
        'select payout_api.release_hold({hold}, ''…'');'),
    ('paid', 'nobody', 'Your payout was sent.', 'Paid.', null),
    ('reversed', 'operator',
        'Your payout was sent, and part of it was taken back.',
        'Stripe took it back, or part of it, which is owed again. If it is the payee''s loss: '
        'write_off, as payout_api.reversed_money has the call; if they are to have it: repay.',
        'select * from payout_api.repay({transfer}, ''…'');'),
    ('cancelled', 'nobody', 'Your payout was withdrawn.', 'Withdrawn: not owed.', null),
    ('settled_outside', 'nobody', 'Your payout was made in another way.',
        'Paid in another way; the act has the reference.', null)
on conflict (situation) do update set
    whose_turn = excluded.whose_turn,
    for_seller = excluded.for_seller,
    for_operator = excluded.for_operator,
    next_call = excluded.next_call;
