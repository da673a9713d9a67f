-- expected_rights: the rights beyond reading that the migrations give.
--
-- Roles and privileges are separated by |; things are regular expressions over the names that
-- given_rights returns.

create or replace function payout.expected_rights()
returns table (roles text, privileges text, things text)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    values
        ('payout_app', 'INSERT|UPDATE|DELETE', '^payout[.](settlements|settlement_lines)$'),
        ('payout_app', 'EXECUTE', '^payout[.]id_fits[(]'),
        ('payout_app|payout_operator', 'EXECUTE', '^payout_api[.]register_payee[(]'),
        ('payout_app', 'EXECUTE', '^payout_api[.]complete_settlement[(]'),
        ('payout_worker', 'EXECUTE',
            '^payout_api[.](claim_transfers|report_outcomes|claim_reads|report_page)[(]'),
        ('payout_worker|payout_operator', 'EXECUTE', '^payout_api[.](sweep|seal)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.](hold|release_hold)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.]resolve_discrepancy[(]'),
        ('payout_operator', 'EXECUTE',
            '^payout_api[.](adopt_database|change_stripe_account|approve_absence)[(]'),
        ('payout_worker|payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](doctor|open_discrepancies)[(]'),
        ('payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](verify_projection|verify_seals|seal_head|balances_as_of)[(]')
$$;
comment on function payout.expected_rights() is 'Part of payout_api.doctor().';
