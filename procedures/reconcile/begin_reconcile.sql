-- begin_reconcile: begin to compare all of Stripe's transfers with the books, or continue.
--
-- Called by: worker. It moves no money, so it asks for neither holds nor an adoption.
-- Safe to repeat, also by several workers at once: one run is open, and stored pages stay.
-- Locks: payout.adoptions, so that a run for an account begins before the account is changed.
-- Raises: SP404 (bind_stripe_account); SP341 no worker or no account.

create or replace function payout_api.begin_reconcile(
    p_worker text, p_stripe_account_id text, p_is_livemode boolean
)
returns table (
    reconcile_run_id bigint,
    query jsonb,
    starting_after text,
    transfers_seen bigint,
    transfers_expected bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    lock table payout.adoptions in access share mode;
    perform payout.bind_stripe_account(p_stripe_account_id, p_is_livemode);
    if coalesce(btrim(p_worker), '') = '' or p_stripe_account_id is null then
        perform payout.refuse_list(
            format('reconcile of %s by %s', coalesce(p_stripe_account_id, 'no account'),
                coalesce(nullif(btrim(p_worker), ''), 'no worker')),
            'name the worker and its Stripe account');
    end if;

    -- Another worker may finish the run between start_run and the next look: hence a loop.
    loop
        return query
        select r.reconcile_run_id, payout.reconcile_query(r), r.next_cursor, r.transfers_seen,
            r.transfers_expected
        from payout.runs_of_this_database() as r
        where r.finished_at is null;
        exit when found;
        perform payout.start_run(p_worker);
    end loop;
end
$$;
comment on function payout_api.begin_reconcile(text, text, boolean) is
    'Returns the open run: parameters of GET /v1/transfers, the id after which its next page '
    'starts (null: from the newest), transfers seen so far, and the number that these books '
    'expect.';
revoke execute on function payout_api.begin_reconcile(text, text, boolean) from public;
grant execute on function payout_api.begin_reconcile(text, text, boolean) to payout_worker;
