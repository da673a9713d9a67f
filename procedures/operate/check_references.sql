-- check_references: the rows of a range of transfers that refer to rows that do not exist.
--
-- The rows that a settlement makes have no foreign keys: a key would be looked up for each, in
-- the application's transaction. Guards refuse to delete them; this check shows rows that were
-- changed while the guards were off. check_settlements has those of settlements. Jobs and
-- payees are looked up one by one: a range does not cost a hash of all of them.

create or replace function payout.check_references(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every reference has its row', format('%s %s', o.name, o.id),
        'rows were changed while the guards were off: compare with a backup'
    from (
        select 'payout_transfers', t.payout_transfer_id
        from payout.payout_transfers as t
        where t.payout_transfer_id between p_from and p_to
            and ((
                select j.payout_job_id
                from payout.payout_jobs as j where j.payout_job_id = t.payout_job_id
            ) is null or (
                select p.payee_id from payout.payees as p where p.payee_id = t.payee_id
            ) is null or (
                select s.payout_transfer_id
                from payout.transfer_states as s
                where s.payout_transfer_id = t.payout_transfer_id
            ) is null)
        union all
        select n.name, n.id
        from (
            select 'transfer_states', s.payout_transfer_id, s.payout_transfer_id
            from payout.transfer_states as s
            union all
            select 'ledger_entries', e.ledger_entry_id, e.payout_transfer_id
            from payout.ledger_entries as e
        ) as n (name, id, payout_transfer_id)
        where n.payout_transfer_id between p_from and p_to
            and not exists (
                select from payout.payout_transfers as t
                where t.payout_transfer_id = n.payout_transfer_id
                    and t.payout_transfer_id between p_from and p_to
            )
        union all
        select 'account_waits', w.payout_transfer_id
        from payout.account_waits as w
        where w.payout_transfer_id between p_from and p_to
            and not exists (
                select from payout.payout_transfers as t
                where t.payout_transfer_id = w.payout_transfer_id and t.payee_id = w.payee_id
            )
    ) as o (name, id)
$$;
comment on function payout.check_references(bigint, bigint) is
    'Part of payout_api.verify_books().';
