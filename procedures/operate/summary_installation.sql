-- summary_installation: which database this is, and how far seals and comparisons are.

create or replace function payout.summary_installation(p_days integer)
returns table (section text, most integer, place bigint, content jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'installation', 1, 1, to_jsonb(i)
    from (
        select now() as taken_at,
            current_date - greatest(p_days, 1) + 1 as first_day,
            current_date as last_day,
            current_database() as database_name,
            session_user as login,
            payout_api.release() as release,
            e.installation_id,
            e.stripe_account_id,
            e.is_livemode,
            payout_api.seal_head() as seal_head,
            s.sealed_at,
            (select count(*) from payout_api.workers as w where w.is_alive) as workers_alive,
            c.begun_at as compared_at,
            c.transfers_seen as transfers_compared
        from payout.engine_settings as e
        left join lateral (
            select s.sealed_at from payout.seals as s order by s.seal_id desc limit 1
        ) as s on true
        left join lateral (
            select r.begun_at, r.objects_seen as transfers_seen
            from payout.stripe_reads as r
            where r.kind = 'comparison' and r.finished_at is not null
            order by r.read_id desc
            limit 1
        ) as c on true
    ) as i
$$;
comment on function payout.summary_installation(integer) is 'Part of payout_api.summary().';
