-- refuse_unsafe_server: a claim that a crash could undo must not be handed out.
--
-- The first send under a key starts the key's clock. A server that may forget
-- it could send again after Stripe has forgotten the key. And a transaction that
-- keeps to its first snapshot would not see that the gate was closed meanwhile.
-- Raises: SP401 the server does not keep what it commits; not read committed.

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
                hint = 'A claim must be as durable as the transfer it allows, and see what is '
                    'true now.';
    end if;
end
$$;
comment on function payout.refuse_unsafe_server() is
    'Refuses to go on when a commit could be lost (recovery, fsync or synchronous_commit off), or '
    'in a transaction that is not read committed.';
