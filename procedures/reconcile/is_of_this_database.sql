-- is_of_this_database: tell whether a read counts for this database as it is now.
--
-- A read of another identity, or from before the newest row of adoptions (first claims aside),
-- was of another database or another Stripe account. The comparison that the newest adoption
-- rests on counts. No time is compared: a clock may be set back.

create or replace function payout.is_of_this_database(p_read payout.stripe_reads)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (p_read.system_identifier, p_read.timeline_id, p_read.database_oid, p_read.table_oid)
            = (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)
        and (a.adoption_id is null or p_read.adoption_id >= a.adoption_id
            or p_read.read_id >= a.read_id),
        false)
    from payout.database_identity() as w
    left join lateral (
        select a.adoption_id, a.read_id
        from payout.adoptions as a
        where not a.is_first_claim
        order by a.adoption_id desc
        limit 1
    ) as a on true
$$;
comment on function payout.is_of_this_database(payout.stripe_reads) is
    'True for a read begun since the database was last adopted or its Stripe account changed, and '
    'for those from the comparison on that the adoption rests on.';
