-- check_references: whether the rows of settlements refer to rows that exist.
--
-- The rows that a settlement makes have no foreign keys: a key would be looked up for each, in
-- the application's transaction. Guards refuse to delete them; this check shows rows that were
-- changed while the guards, or the key of the lines, were off.

create or replace function payout.check_references()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every reference has its row', count(*) = 0,
        coalesce(string_agg(distinct o.name, ', '), 'lines, jobs, transfers, progress and entries'),
        'rows were changed while the guards were off: compare with a backup'
    from (
        select 'settlement_lines' from payout.settlement_lines as l
        where not exists (
            select from payout.settlements as s where s.settlement_id = l.settlement_id
        )
        union all
        select 'payout_jobs' from payout.payout_jobs as j
        where not exists (
            select from payout.settlements as s where s.settlement_id = j.settlement_id
        )
        union all
        select 'payout_transfers' from payout.payout_transfers as t
        where not exists (
            select from payout.payout_jobs as j where j.payout_job_id = t.payout_job_id
        ) or not exists (
            select from payout.payees as p where p.payee_id = t.payee_id
        ) or not exists (
            select from payout.transfer_states as s
            where s.payout_transfer_id = t.payout_transfer_id
        )
        union all
        select 'transfer_states' from payout.transfer_states as s
        where not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = s.payout_transfer_id
        )
        union all
        select 'account_waits' from payout.account_waits as w
        where not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = w.payout_transfer_id and t.payee_id = w.payee_id
        )
        union all
        select 'ledger_entries' from payout.ledger_entries as e
        where not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = e.payout_transfer_id
        )
    ) as o (name)
$$;
comment on function payout.check_references() is 'Part of payout_api.verify_books().';
