-- heartbeat: note that a worker is alive, and forget those that ended long ago.
--
-- Called by: each worker, about every ten seconds, and a last time when it ends.
-- Safe to repeat. Raises: SP311 no worker or no release; SP406 a release that is not a neighbour
-- of the schema's, which an upgrade has left behind: the worker ends.

create or replace function payout_api.heartbeat(
    p_worker text, p_release text, p_is_last boolean default false
)
returns table (is_on_hold boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ours integer[] := string_to_array(payout_api.release(), '.')::integer[];
    v_theirs integer[] := regexp_match(p_release, '^([0-9]{1,6})[.]([0-9]{1,6})')::integer[];
begin
    if coalesce(btrim(p_worker), '') = '' or coalesce(btrim(p_release), '') = '' then
        raise exception 'heartbeat of % with release %', coalesce(p_worker, 'no worker'),
            coalesce(p_release, 'null')
            using
                errcode = 'SP311',
                hint = 'Name the worker and its release.';
    end if;
    if v_theirs[1] is distinct from v_ours[1] or abs(v_theirs[2] - v_ours[2]) > 1 then
        raise exception 'the worker is of release %, and the database of %', p_release,
            payout_api.release()
            using
                errcode = 'SP406',
                hint = 'Workers of the release before go on during an upgrade. Replace this one.';
    end if;
    insert into payout.workers as w (worker, release, has_ended)
    values (p_worker, p_release, coalesce(p_is_last, false))
    on conflict (worker) do update
    set release = excluded.release,
        last_seen_at = clock_timestamp(),
        has_ended = excluded.has_ended;
    delete from payout.workers as w
    where w.worker in (
        select o.worker
        from payout.workers as o
        where o.last_seen_at < clock_timestamp() - interval '7 days'
        for update skip locked
    );
    return query
    select exists (
        select from payout.holds as h
        where h.scope = 'worker' and h.subject = p_worker and h.released_at is null
    );
end
$$;
comment on function payout_api.heartbeat(text, text, boolean) is
    'Notes the worker with its release and the time, or that it ends, for the doctor and '
    'payout_api.workers; tells whether it is on hold; refuses one that is more than '
    'one release away from the schema.';
grant execute on function payout_api.heartbeat(text, text, boolean) to payout_worker;
