-- record_unknown_transfers: record outcomes of transfers that this database does not have.
--
-- A restored or promoted database may have forgotten the transfers that a worker was given.
-- Stripe's answer is a fact all the same: it is kept, and operators are notified.

create or replace function payout.record_unknown_transfers(p_outcomes payout.outcome[])
returns setof payout.reported
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.discrepancies (kind, stripe_transfer_id, theirs, advice)
    select 'report_of_unknown_transfer', o.stripe_transfer_id,
        jsonb_strip_nulls(to_jsonb(o) - 'claim_token'),
        'This database does not know the transfer: was it restored or promoted? Look the '
        'payout_ref up at Stripe before anything is sent.'
    from unnest(p_outcomes) as o;
    perform payout.notify_operators(
        'report_of_unknown_transfer', 'restored or promoted?', jsonb_build_object(
            'payout_transfer_ids', to_jsonb(array(
                select o.payout_transfer_id from unnest(p_outcomes) as o limit 20))));
    return query
    select o.payout_transfer_id, o.generation, o.attempt, 'alarm', null::text
    from unnest(p_outcomes) as o;
end
$$;
comment on function payout.record_unknown_transfers(payout.outcome[]) is
    'Stores outcomes of unknown transfers as discrepancies and answers alarm for each.';
