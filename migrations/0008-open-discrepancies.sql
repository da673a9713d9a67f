-- 0008-open-discrepancies: count the discrepancies that wait for a person, for the command that reconciles
-- depends: 0007-gate

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

set local role payout_owner;

-- frozen: procedures/api/worker/open_discrepancies.sql a09285b70776
-- open_discrepancies: how many discrepancies of each kind wait for a person, and what to do.
--
-- Called by: worker, for `payout-engine reconcile`; operator; auditor.

create or replace function payout_api.open_discrepancies()
returns table (kind text, open_count bigint, since timestamptz, advice text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select d.kind, count(*), min(d.found_at),
        (array_agg(d.advice order by d.found_at, d.discrepancy_id))[1]
    from payout.discrepancies as d
    where d.resolved_at is null
    group by d.kind
    order by min(d.found_at), d.kind
$$;
comment on function payout_api.open_discrepancies() is
    'The discrepancies that nobody has resolved, by kind: how many, since when, and the next step '
    'for the oldest of them.';
revoke execute on function payout_api.open_discrepancies() from public;
grant execute on function payout_api.open_discrepancies()
    to payout_worker, payout_operator, payout_auditor;
-- end frozen: procedures/api/worker/open_discrepancies.sql

-- frozen: procedures/doctor/expected_rights.sql b2f10aafbe20
-- expected_rights: who has which right, beside reading, on what.
--
-- Roles and privileges are separated by |; things are regular expressions over the
-- names that check_rights makes.

create or replace function payout.expected_rights()
returns table (roles text, privileges text, things text)
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    values
        ('payout_app', 'INSERT|UPDATE', '^payout[.]settlements[.](currency|total_minor|'
            'state|pay_after|metadata)$'),
        ('payout_app', 'INSERT', '^payout[.]settlements[.]settlement_id$'),
        ('payout_app', 'INSERT|UPDATE',
            '^payout[.]settlement_lines[.](payee_id|amount_minor|source_transaction)$'),
        ('payout_app', 'INSERT', '^payout[.]settlement_lines[.](settlement_id|line_id)$'),
        ('payout_app', 'DELETE', '^payout[.]settlement_lines$'),
        ('payout_app|payout_operator', 'EXECUTE', '^payout_api[.]register_payee[(]'),
        ('payout_app', 'EXECUTE', '^payout_api[.]complete_settlement[(]'),
        ('payout_worker', 'EXECUTE', '^payout_api[.](claim_transfers|report_outcomes)[(]'),
        ('payout_worker|payout_operator', 'EXECUTE', '^payout_api[.](sweep|seal)[(]'),
        ('payout_operator', 'EXECUTE', '^payout_api[.](hold|release_hold)[(]'),
        ('payout_operator', 'EXECUTE',
            '^payout_api[.](open_gate|change_stripe_account)[(]'),
        ('payout_worker|payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](doctor|open_discrepancies)[(]'),
        ('payout_operator|payout_auditor', 'EXECUTE',
            '^payout_api[.](verify_projection|verify_seals|seal_head|balances_as_of)[(]')
$$;
comment on function payout.expected_rights() is
    'Part of payout_api.doctor(): the rights that the migrations give.';
-- end frozen: procedures/doctor/expected_rights.sql

reset role;
