-- refuse_unsafe_server: refuse claims that a crash of the server, or its clock, could undo.
--
-- The first send under a key starts the key's clock: a server that may forget it could send again
-- after Stripe has forgotten the key; so could one whose clock is wrong. A transaction that keeps
-- its first snapshot would not see that the database is no longer adopted.
-- Raises: SP401 the server may lose commits, its clock is not Stripe's, or the transaction is not
-- read committed.

create or replace function payout.refuse_unsafe_server(p_stripe_now timestamptz)
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
        when payout.clock_differs(p_stripe_now)
            then format('the server''s clock says %s and Stripe''s %s',
                to_char(payout.clock() at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'),
                to_char(p_stripe_now at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'))
    end;
    if v_problem is not null then
        raise exception 'no transfer is handed out while %', v_problem
            using
                errcode = 'SP401',
                hint = 'A claim must be as durable as the transfer it allows, see the newest '
                    'commits, and know how old a key is.';
    end if;
end
$$;
comment on function payout.refuse_unsafe_server(timestamptz) is
    'Refuses in recovery, with fsync or synchronous_commit off, outside read committed, and while '
    'the server''s clock is more than five minutes from the time at Stripe, if that is given.';
