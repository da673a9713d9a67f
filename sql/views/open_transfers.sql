-- open_transfers: the progress of the transfers that are open, read from indexes only.
--
-- Its parts have no row in common and leave none out: dated, marked as on hold, under a lease,
-- parked or failed, none of these. So the views that read it cost the same whatever the history,
-- and settling and sending keep no index for them.

create or replace view payout_api.open_transfers as
select s.*
from payout.transfer_states as s
where s.next_attempt_at is not null and s.hold_id is null and s.lease_until is null
    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown')
union all
select s.*
from payout.transfer_states as s
where s.hold_id is not null and s.lease_until is null
    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown')
union all
select s.*
from payout.transfer_states as s
where s.lease_until is not null
    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown')
union all
select s.*
from payout.transfer_states as s
where s.state in ('parked', 'failed')
union all
select s.*
from payout.transfer_states as s
where s.next_attempt_at is null and s.hold_id is null and s.lease_until is null
    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown');
comment on view payout_api.open_transfers is
    'The rows of transfer_states that are not paid, cancelled or settled outside.';
grant select on payout_api.open_transfers to payout_approver;
