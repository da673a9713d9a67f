-- unpaid: every transfer that is not paid, with the reason and the next step.

create or replace view payout_api.unpaid as
select e.*
from payout_api.explained as e
where e.state not in ('paid', 'cancelled', 'settled_outside');
comment on view payout_api.unpaid is
    'One row for each transfer that is not paid, as payout_api.explained has it: state, reason, '
    'since when, whose turn it is, when the engine acts next by itself, and the next step.';
grant select on payout_api.unpaid to payout_operator, payout_auditor;
