-- discrepancies: the open disagreements between Stripe and the books, with the next step.

create or replace view payout_api.discrepancies as
select
    d.discrepancy_id,
    d.kind,
    coalesce(t.settlement_id, d.theirs ->> 'settlement_id') as settlement_id,
    d.payout_transfer_id,
    d.stripe_transfer_id,
    d.ours,
    d.theirs,
    d.found_at as since,
    d.found_by_read_id,
    concat_ws(' ',
        d.advice,
        'Then:',
        format('select payout_api.resolve_discrepancy(%s, ''…'');', d.discrepancy_id),
        'select payout_api.release_hold(' || h.hold_id || ', ''…'');'
    ) as what_to_do
from payout.discrepancies as d
left join payout.payout_transfers as t on t.payout_transfer_id = d.payout_transfer_id
left join payout.holds as h on h.scope = 'transfer'
    and h.subject = d.payout_transfer_id::text
    and h.discrepancy_id is not null
    and h.released_at is null
where d.resolved_at is null;
comment on view payout_api.discrepancies is
    'One row for each open discrepancy: both sides (ours and theirs), its time, the read that '
    'found it, and the next step with the calls that end it.';
grant select on payout_api.discrepancies to payout_operator, payout_auditor;
