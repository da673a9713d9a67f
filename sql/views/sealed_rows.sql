-- sealed_rows: the rows that seals cover, each with the content that its digest is made of.
--
-- This is the one list of sealed tables; sql/data/installation.sql gives each its mark. Columns
-- that may change are taken out: operator_actions records who changed them. A settlement and its
-- lines have no number of their own, so the job that froze them carries them.

create or replace view payout_api.sealed_rows as
select 'adoptions' as table_name, a.adoption_id as row_id, a.recorded_at as row_at,
    to_jsonb(a) as content
from payout.adoptions as a
union all
select 'catalogues', c.catalogue_id, c.recorded_at, to_jsonb(c)
from payout.catalogues as c
union all
select 'discrepancies', d.discrepancy_id, d.found_at, to_jsonb(d) - '{resolved_at,resolved_by,
    resolution,resolved_by_read_id,resolved_by_rule_id}'::text[]
from payout.discrepancies as d
union all
select 'holds', h.hold_id, h.placed_at,
    to_jsonb(h) - '{released_at,released_by,release_reason,goes_on_at,probe_transfer_id,
    probes}'::text[]
from payout.holds as h
union all
select 'ledger_entries', e.ledger_entry_id, e.created_at, to_jsonb(e)
from payout.ledger_entries as e
union all
select 'not_ours_rules', r.not_ours_rule_id, r.recorded_at,
    to_jsonb(r) - '{ended_at,ended_by,end_reason}'::text[]
from payout.not_ours_rules as r
union all
select 'operator_actions', a.operator_action_id, a.acted_at, to_jsonb(a)
from payout.operator_actions as a
union all
select 'payee_accounts', a.payee_account_id, a.recorded_at, to_jsonb(a)
from payout.payee_accounts as a
union all
select 'payout_jobs', j.payout_job_id, j.created_at, to_jsonb(j) || jsonb_build_object(
    'settlement',
    (select to_jsonb(s) from payout.settlements as s where s.settlement_id = j.settlement_id),
    'lines', (
        select jsonb_agg(to_jsonb(l) order by l.line_id collate "C")
        from payout.settlement_lines as l
        where l.settlement_id = j.settlement_id
    ))
from payout.payout_jobs as j
union all
select 'payout_transfers', t.payout_transfer_id, t.created_at, to_jsonb(t)
from payout.payout_transfers as t
union all
select 'transfer_observations', o.observation_id, o.observed_at, to_jsonb(o)
from payout.transfer_observations as o
union all
select 'transfer_requests', r.transfer_request_id, r.frozen_at, to_jsonb(r)
from payout.transfer_requests as r;
comment on view payout_api.sealed_rows is
    'The rows that seals cover, with the content whose digest they keep: payout_api.verify_seals() '
    'compares.';
