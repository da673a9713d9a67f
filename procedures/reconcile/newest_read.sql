-- newest_read: the newest finished read of a kind that counts for this database as it is now.
--
-- The true time of one that was begun under a clock that was ahead is unknown.

create or replace function payout.newest_read(p_kind text)
returns payout.stripe_reads
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select r
    from payout.stripe_reads as r
    where r.kind = p_kind
        and r.kind in ('newest', 'events', 'comparison')
        and r.finished_at is not null
        and r.begun_at <= payout.clock()
        and payout.is_of_this_database(r)
    order by r.read_id desc
    limit 1
$$;
comment on function payout.newest_read(text) is
    'Of all transfers (comparison), the newest, or events; null: there is none.';
