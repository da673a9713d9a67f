-- installation: the first rows of the tables that have some from the beginning.

insert into payout.engine_settings default values
on conflict do nothing;

insert into payout.paces (kind) values ('sends'), ('reads')
on conflict do nothing;

insert into payout.seal_marks (table_name) values
    ('adoptions'), ('catalogues'), ('discrepancies'), ('holds'), ('ledger_entries'),
    ('not_ours_rules'), ('operator_actions'), ('payee_accounts'), ('payout_jobs'),
    ('payout_transfers'),
    ('transfer_observations'), ('transfer_requests')
on conflict do nothing;

-- With a transfer this may be a copy already, and only an operator knows.
insert into payout.adoptions (
    system_identifier, timeline_id, database_oid, table_oid, is_installation, reason)
select i.system_identifier, i.timeline_id, i.database_oid, i.table_oid, true, 'installed'
from payout.database_identity() as i
where not exists (select from payout.adoptions)
    and not exists (select from payout.payout_transfers);
