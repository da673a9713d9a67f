-- is_compared: tell whether Stripe's newest transfers were compared with the books lately.
--
-- A comparison of all transfers has compared the newest too.

create or replace function payout.is_compared(p_within interval)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select
        from (values ('newest'), ('comparison')) as k (kind)
        cross join lateral (
            select r as last_read
            from payout.stripe_reads as r
            where r.kind = k.kind and r.finished_at is not null
            order by r.read_id desc limit 1
        ) as l
        where payout.is_current(l.last_read, p_within)
    );
end
$$;
comment on function payout.is_compared(interval) is
    'True when the last finished read of kind newest, or comparison, is current.';
