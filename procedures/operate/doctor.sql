-- doctor: the checks that take the same time whatever the history, one row each.
--
-- payout_api.verify_settlements(), verify_books(), verify_projection() and verify_seals() read
-- everything.
-- Called by: payout-engine doctor, operators, auditors; after a restore above all.
-- Compiling its queries takes 1.5 s on PostgreSQL 15, running them 30 ms.

create or replace function payout_api.doctor(
    p_stripe_account_id text default null, p_is_livemode boolean default null
)
returns table (check_name text, status text, detail text, hint text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan
as $$
    select c.check_name,
        case
            when c.is_ok then 'ok'
            -- Meant by somebody, or no danger to money yet.
            when c.check_name in (
                'nothing is on hold', 'no currency waits for funds', 'each login has one part',
                'no login passes the rights', 'no settlement was edited after it was settled',
                'the queue is the engine''s own', 'workers are of one release',
                'notifications are read', 'no replication slot keeps the log',
                'the log is archived', 'transaction numbers suffice', 'hot tables are vacuumed',
                'no transaction was left open', 'outcomes can be read'
            ) then 'warning'
            else 'failure'
        end,
        c.detail, c.hint
    from (
        select * from payout.check_server()
        union all
        select * from payout.check_upkeep()
        union all
        select * from payout.check_transactions()
        union all
        select * from payout.check_identity(p_stripe_account_id, p_is_livemode)
        union all
        select * from payout.check_catalogue()
        union all
        select * from payout.check_numbers()
        union all
        select * from payout.check_logins()
        union all
        select * from payout.check_queue()
        union all
        select * from payout.check_queue_code()
        union all
        select * from payout.check_holds()
        union all
        select * from payout.check_books()
        union all
        select * from payout.check_seals()
    ) as c
$$;
comment on function payout_api.doctor(text, boolean) is
    'Checks server, transactions, identity, catalogue, logins, queue, holds, dates, reads, books '
    'and the newest seals; status is ok, warning or failure, and hint names the next step. The '
    'Stripe account is that of the caller''s key, if it has one.';
grant execute on function payout_api.doctor(text, boolean)
    to payout_worker, payout_operator, payout_auditor;
