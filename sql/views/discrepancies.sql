-- discrepancies: the open disagreements between Stripe and the books, with the next step.
--
-- Either side may lack an amount, or name a currency that is none: JSON from outside is read by its
-- types. Of an edited settlement, an amount is the sum of those that differ.

create or replace view payout_api.discrepancies as
select
    d.discrepancy_id,
    d.kind,
    coalesce(t.settlement_id, d.theirs ->> 'settlement_id') as settlement_id,
    d.payout_transfer_id,
    d.stripe_transfer_id,
    a.currency,
    a.our_amount,
    a.their_amount,
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
left join lateral (
    select string_agg(distinct c.currency, ', ') as currency,
        sum(s.amount_minor * c.minor_unit) filter (where s.is_ours) as our_amount,
        sum(s.amount_minor * c.minor_unit) filter (where not s.is_ours) as their_amount
    from (
        select x.is_ours, x.side ->> 'currency' as currency,
            case when jsonb_typeof(m.amount_minor) = 'number' then m.amount_minor::numeric end
        from (values (true, d.ours), (false, d.theirs)) as x (is_ours, side)
        left join lateral (
            select x.side -> 'amount_minor'
            where not x.side ? 'owed'
            union all
            select o.owed -> 'amount_minor'
            from jsonb_array_elements(
                case jsonb_typeof(x.side -> 'owed') when 'array' then x.side -> 'owed' end
            ) as o (owed)
        ) as m (amount_minor) on true
    ) as s (is_ours, currency, amount_minor)
    join payout.currencies as c on c.currency = s.currency
) as a on true
where d.resolved_at is null;
comment on view payout_api.discrepancies is
    'One row for each open discrepancy: both sides (ours and theirs) and their amounts in the '
    'currency itself, its time, the read that found it, and the next step with the calls that end '
    'it.';
