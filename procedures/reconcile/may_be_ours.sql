-- may_be_ours: whether a transfer at Stripe carries anything by which it may be one of ours.
--
-- No rule hides such a transfer, whatever its conditions. People can edit metadata and the database
-- may have forgotten a transfer: one sign is enough, and a payout_ref is also made again out of
-- settlement and payee. Only another installation's own mark excuses a payout_ref that is unknown.

create or replace function payout.may_be_ours(p_listed payout.stripe_transfer)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(p_listed.payout_engine = e.installation_id, false)
        or exists (
            select from payout.payout_transfers as t
            where t.payout_ref in (
                p_listed.payout_ref, p_listed.transfer_group, p_listed.belongs_to)
        )
        or exists (
            select from payout.settlements as s
            cross join payout.payees as p
            where s.settlement_id = p_listed.settlement_id and p.payee_id = p_listed.payee_id
        )
        or coalesce(payout.payout_ref(e.installation_id, p_listed.settlement_id, p_listed.payee_id,
            p_listed.source_transaction) in (p_listed.payout_ref, p_listed.transfer_group), false)
        or (p_listed.payout_engine is null
            and concat_ws(' ', p_listed.payout_ref, p_listed.transfer_group)
                ~ '(^| )payout_[0-9a-f]{40}( |$)')
    from payout.engine_settings as e
$$;
comment on function payout.may_be_ours(payout.stripe_transfer) is
    'True where it names our installation, a payout_ref of ours, or a settlement and a payee of '
    'ours; or a payout_ref without saying of which installation.';
