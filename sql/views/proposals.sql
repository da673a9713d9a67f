-- proposals: acts that one person has proposed and that wait for another.

create or replace view payout_api.proposals as
select
    p.operator_action_id as action_id,
    p.details ->> 'verb' as verb,
    p.subject,
    p.reason,
    p.details - 'verb' as details,
    p.acted_by as proposed_by,
    p.acted_at as proposed_at,
    p.expires_at,
    format('select * from payout_api.approve(%s, ''…'');', p.operator_action_id) as what_to_do
from payout.operator_actions as p
where p.expires_at > now()
    and not exists (
        select from payout.operator_actions as a where a.proposal_id = p.operator_action_id
    );
comment on view payout_api.proposals is
    'One row for each proposal that nobody has approved and that has not expired, with the call '
    'by which another login approves it.';
grant select on payout_api.proposals to payout_approver;
