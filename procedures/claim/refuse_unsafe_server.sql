-- refuse_unsafe_server: refuse claims that a crash of the server could undo.
--
-- The first send under a key starts the key's clock: a server that may forget it could send again
-- after Stripe has forgotten the key. A transaction that keeps its first snapshot would not see
-- that the database is no longer adopted.
-- Raises: SP401 the server may lose commits, or the transaction is not read committed.

create or replace function payout.refuse_unsafe_server()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    v_problem := case
        when pg_is_in_recovery() then 'the server is in recovery'
        when current_setting('fsync') = 'off' then 'fsync is off'
        when current_setting('synchronous_commit') in ('off', 'local')
            then 'synchronous_commit is ' || current_setting('synchronous_commit')
        when current_setting('transaction_isolation') <> 'read committed'
            then 'the transaction is ' || current_setting('transaction_isolation')
    end;
    if v_problem is not null then
        raise exception 'no transfer is handed out while %', v_problem
            using
                errcode = 'SP401',
                hint = 'A claim must be as durable as the transfer it allows, and see the newest '
                    'commits.';
    end if;
end
$$;
comment on function payout.refuse_unsafe_server() is
    'Refuses in recovery, with fsync or synchronous_commit off, and outside read committed.';
