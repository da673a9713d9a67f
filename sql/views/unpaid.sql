-- unpaid: every transfer that is not paid, with the reason and the next step.
--
-- The array comes first, so that no other transfer is explained. Each that is open costs a look at
-- its facts: read fifty of a long backlog, as the console does, or payout_api.unpaid_by_reason.

create or replace view payout_api.unpaid as
select e.*
from payout_api.explained as e
where e.payout_transfer_id = any (array(
    select o.payout_transfer_id from payout_api.open_transfers as o));
comment on view payout_api.unpaid is
    'One row for each transfer that is not paid, as payout_api.explained has it: state, reason, '
    'since when, whose turn it is, when the engine acts next by itself, and the next step.';
