-- first_entry_id: the id in the ledger from which on entries may have been booked since a time.
--
-- Ids grow with time but for transactions that overlap: a seal knows the newest time in its range,
-- and all that is not sealed yet counts. So the books need no index of times.

create or replace function payout.first_entry_id(p_since timestamptz)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (
            select min(s.first_id)
            from payout.seals as s
            where s.table_name = 'ledger_entries' and s.rows_until >= p_since
        ),
        (select max(s.last_id) + 1 from payout.seals as s where s.table_name = 'ledger_entries'),
        -9223372036854775808)
$$;
comment on function payout.first_entry_id(timestamptz) is
    'An id below which no entry was booked at p_since or later.';
