-- refuse_unsafe_database: refuse claims in a database that may not know everything that was sent.
--
-- A restored, promoted or cloned database may have forgotten that transfers were sent, and another
-- one may be sending the same. Where the identity is the same, the comparison with Stripe's newest
-- transfers notices that (stop_beside_another): a worker that is refused for want of one makes it,
-- and claims again.
-- Raises: SP403 not the database that was adopted; SP404 a key of another Stripe account; SP405 no
-- comparison is finished that still counts.

create or replace function payout.refuse_unsafe_database(
    p_stripe_account_id text, p_is_livemode boolean, p_comparison_counts_for interval
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := payout.identity_problem();
begin
    if v_problem is not null then
        raise exception 'no transfer is handed out: this database is not the one that was adopted'
            using
                errcode = 'SP403',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, '
                    'then select payout_api.adopt_database(reason).';
    end if;
    perform payout.bind_stripe_account(p_stripe_account_id, p_is_livemode);
    if not payout.is_compared(p_comparison_counts_for) then
        raise exception 'no transfer is handed out before Stripe''s newest transfers were compared'
            using
                errcode = 'SP405',
                hint = 'A worker compares them by itself, with a key that may read transfers.';
    end if;
end
$$;
comment on function payout.refuse_unsafe_database(text, boolean, interval) is
    'Refuses to go on in a database that is not adopted (SP403), for another Stripe account '
    '(SP404), or while Stripe''s newest transfers were not compared for so long, or not since the '
    'server started (SP405).';
