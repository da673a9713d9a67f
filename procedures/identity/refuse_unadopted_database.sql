-- refuse_unadopted_database: the identity check: a copy of the adopted database hands out nothing.
--
-- A restored, promoted or cloned database may have forgotten that transfers were sent, and
-- another one may be sending the same.
-- Raises: SP403 not the database that was adopted; SP404 a key of another Stripe account.

create or replace function payout.refuse_unadopted_database(
    p_stripe_account_id text, p_is_livemode boolean
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
end
$$;
comment on function payout.refuse_unadopted_database(text, boolean) is
    'Refuses to go on in a database that is not adopted (SP403), or for another Stripe account '
    '(SP404).';
