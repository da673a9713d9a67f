-- tg_engine_settings__check_account: look once more, at the commit, that no claim is under way.
--
-- The change itself locks no claim out, however long its transaction stays open. At the commit a
-- lock waits for the claims and pages under way, and later ones wait for the commit: each claim is
-- done before, and seen here, or sees the change.
-- Locks: payout.adoptions, from which each claim and page reads first.
-- Raises: SP411 (refuse_unsafe_account_change); SP402 a claim or page did not end within a second.

create or replace function payout.tg_engine_settings__check_account()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
begin
    begin
        lock table payout.adoptions in access exclusive mode;
    exception when lock_not_available or deadlock_detected then
        raise exception 'the Stripe account is not changed while claims are under way'
            using
                errcode = 'SP402',
                hint = 'Repeat the change. A transaction that has read payout.adoptions is open, '
                    'see pg_locks.';
    end;
    perform payout.refuse_unsafe_account_change(old, new.is_livemode);
    return null;
end
$$;
comment on function payout.tg_engine_settings__check_account() is
    'Deferred trigger: refuses another Stripe account or mode if a claim or page came meanwhile '
    '(SP411).';
