-- Verify 0013-compare-anew: each query fails if what it names is missing.

-- exists: procedures/api/worker/next_events_query.sql
select 'payout_api.next_events_query(text, boolean)'::regprocedure;
-- end exists: procedures/api/worker/next_events_query.sql

-- exists: procedures/epoch/note_first_claim.sql
select 'payout.note_first_claim(bigint[])'::regprocedure;
-- end exists: procedures/epoch/note_first_claim.sql

-- exists: procedures/execution/refuse_unsafe_server.sql
select 'payout.refuse_unsafe_server()'::regprocedure;
-- end exists: procedures/execution/refuse_unsafe_server.sql

-- exists: procedures/execution/was_seen_at_stripe.sql
select 'payout.was_seen_at_stripe(bigint)'::regprocedure;
-- end exists: procedures/execution/was_seen_at_stripe.sql

-- exists: procedures/lookups/lookup_outcome.sql
select 'payout.lookup_outcome(payout.transfer_lookups, payout.transfer_states)'::regprocedure;
-- end exists: procedures/lookups/lookup_outcome.sql

-- exists: procedures/lookups/lookup_queries.sql
select 'payout.lookup_queries(payout.payout_transfers)'::regprocedure;
-- end exists: procedures/lookups/lookup_queries.sql

-- exists: procedures/reconcile/events_read_until.sql
select 'payout.events_read_until()'::regprocedure;
-- end exists: procedures/reconcile/events_read_until.sql

-- exists: procedures/reconcile/is_explained.sql
select 'payout.is_explained(payout.finding)'::regprocedure;
-- end exists: procedures/reconcile/is_explained.sql

-- exists: procedures/reconcile/keep_sightings.sql
select 'payout.keep_sightings(payout.stripe_sightings[])'::regprocedure;
-- end exists: procedures/reconcile/keep_sightings.sql

-- exists: procedures/reconcile/note_reversals.sql
select 'payout.note_reversals(payout.stripe_sightings[])'::regprocedure;
-- end exists: procedures/reconcile/note_reversals.sql

-- exists: procedures/reconcile/take_events.sql
select 'payout.take_events(jsonb)'::regprocedure;
-- end exists: procedures/reconcile/take_events.sql

-- exists: sql/views/unpaid.sql
select 'payout_api.unpaid'::regclass;
-- end exists: sql/views/unpaid.sql
