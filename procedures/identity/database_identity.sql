-- database_identity: the values that tell this database from any copy of it.
--
-- A promotion changes the timeline at once, though pg_control_checkpoint() says so only after
-- the next checkpoint: hence the name of the file that is written. A new cluster has another
-- system identifier, a clone or a restore other oids.

create or replace function payout.database_identity(
    out system_identifier bigint,
    out timeline_id integer,
    out database_oid oid,
    out table_oid oid
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    system_identifier := (pg_control_system()).system_identifier;
    timeline_id := case
        when pg_is_in_recovery() then (pg_control_checkpoint()).timeline_id
        else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    end;
    database_oid := (select d.oid from pg_database as d where d.datname = current_database());
    table_oid := 'payout.transfer_states'::regclass;
end
$$;
comment on function payout.database_identity() is
    'System identifier, timeline, oid of the database and oid of payout.transfer_states.';
