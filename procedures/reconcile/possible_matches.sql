-- possible_matches: the transfers on a page of a look-up that may be the one that is looked for.
--
-- Ours: its group or payout_ref, or its settlement and payee, unless they are those of another
-- transfer here. People can edit metadata, and Stripe sets the group of what a charge pays: hence
-- by charge, with the same account and amount. Unreadable: nothing that can be read excludes it.

create or replace function payout.possible_matches(
    p_read payout.stripe_reads, p_objects jsonb
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(to_jsonb(l) || jsonb_build_object('match', m.match)), '[]')
    from payout.payout_transfers as t
    cross join lateral payout.destinations(t) as d (destinations)
    cross join jsonb_array_elements(p_objects) as o
    cross join lateral payout.read_stripe_transfer(o) as l
    cross join lateral (select case
        when t.payout_ref in (l.payout_ref, l.transfer_group) then 'ours'
        when l.settlement_id = t.settlement_id and l.payee_id = t.payee_id and not exists (
            select from payout.payout_transfers as x
            where x.settlement_id = t.settlement_id
                and x.payee_id = t.payee_id
                and x.source_transaction is not distinct from l.source_transaction
                and x.payout_transfer_id <> t.payout_transfer_id
        ) then 'ours'
        when l.source_transaction = t.source_transaction
            and l.destination = any (d.destinations)
            and l.amount_minor = t.amount_minor then 'by charge'
        when not l.is_readable
            and (l.source_transaction is null or l.source_transaction = t.source_transaction)
            and coalesce(l.destination = any (d.destinations), true)
            and coalesce(l.amount_minor = t.amount_minor, true)
            and coalesce(l.currency = t.currency, true) then 'unreadable'
    end) as m (match)
    where t.payout_transfer_id = p_read.payout_transfer_id
        and m.match is not null
$$;
comment on function payout.possible_matches(payout.stripe_reads, jsonb) is
    'An array of payout.stripe_transfer as objects, each with why it may match: ours, by charge, '
    'unreadable.';
