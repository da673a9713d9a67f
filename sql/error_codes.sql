-- error_codes: every error that the engine raises by itself, with the reaction of the caller.

create or replace view payout_api.error_codes as
select c.sqlstate, c.meaning, c.reaction
from (values
    ('SP101', 'a fact may not be changed or removed', 'stop and alert'),
    ('SP102', 'a complete settlement may not be changed', 'stop and alert'),
    ('SP103', 'attempts and keys of a transfer only count up', 'stop and alert'),
    ('SP104', 'a hold, a discrepancy or a rule is closed once', 'stop and alert'),
    ('SP201', 'the transfer is in a state that has no such move', 'finish quietly'),
    ('SP202', 'the settlement is still pending', 'finish quietly'),
    ('SP301', 'a line names an unknown payee', 'correct the call'),
    ('SP303', 'the lines do not add up to the total', 'correct the call'),
    ('SP305', 'the currency is not supported', 'correct the call'),
    ('SP306', 'the amount is no multiple of the currency''s step', 'correct the call'),
    ('SP307', 'the settlement exists with other content', 'correct the call'),
    ('SP308', 'the metadata is more than Stripe takes', 'correct the call'),
    ('SP309', 'the lines are malformed', 'correct the call'),
    ('SP310', 'no such settlement, payee, transfer, hold, rule or other row', 'correct the call'),
    ('SP311', 'a claim, heartbeat, sweep or seal without all that it needs', 'correct the call'),
    ('SP312', 'the reported outcomes are malformed', 'correct the call'),
    ('SP313', 'a hold, cap, rule, resolution or currency without all it needs', 'correct the call'),
    ('SP314', 'an act or approval without all that it needs', 'correct the call'),
    ('SP315', 'a cursor or limit of outcomes that cannot be one', 'correct the call'),
    ('SP330', 'no such seal, or no head of seals', 'correct the call'),
    ('SP320', 'an adoption or another Stripe account without all it needs', 'correct the call'),
    ('SP340', 'a page of a read that is not there, or without its token', 'correct the call'),
    ('SP341', 'a page of Stripe''s that is malformed or not the next one', 'correct the call'),
    ('SP401', 'the server, its clock or the isolation of the transaction is unsafe', 'try later'),
    ('SP402', 'another transaction came first: repeat this one', 'try later'),
    ('SP403', 'the database is not the one that was adopted', 'try later'),
    ('SP404', 'the database pays from another Stripe account, or in the other mode', 'try later'),
    ('SP405', 'Stripe''s newest transfers were not compared with the books lately', 'try later'),
    ('SP406', 'the worker is more than one release away from the schema', 'try later'),
    ('SP410', 'this database is not adopted: nothing was reconciled in it lately', 'try later'),
    ('SP411', 'transfers are open that the old Stripe account may have executed', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_approver, payout_auditor;
