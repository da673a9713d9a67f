-- open_attempts: write request, attempt and lease of transfers that a worker is given.
--
-- The window for sends under a key begins when the transfer was due for the first of them: a
-- database that went back in time has forgotten a send, but none that came before. A transfer for
-- which no request was frozen stays as it is.
-- Called by: claim_transfers, which holds the locks on the progress rows.

create or replace function payout.open_attempts(
    p_payout_transfer_ids bigint[],
    p_worker text,
    p_now timestamptz,
    p_settings payout.engine_settings,
    p_is_paced boolean
)
returns setof payout.claim
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_first double precision := 0::double precision;
    v_apart double precision := 0::double precision;
begin
    if p_is_paced then
        select * into v_first, v_apart
        from payout.take_turns('sends', cardinality(p_payout_transfer_ids), p_now);
        if v_first is null then
            return;
        end if;
    end if;
    perform payout.freeze_requests(p_payout_transfer_ids);
    return query
    with claimed as materialized (
        update payout.transfer_states as s
        set state = 'in_flight',
            attempt = s.attempt + 1,
            lease_until = p_now + p_settings.lease_for,
            next_attempt_at = null,
            window_begins_at = coalesce(s.window_begins_at, s.next_attempt_at),
            wakeup_id = null,
            changed_at = p_now
        from payout.transfer_requests as r
        where s.payout_transfer_id = any (p_payout_transfer_ids)
            and r.payout_transfer_id = s.payout_transfer_id
            and r.generation = s.generation
        returning s.*, r.request, 'ct_' || replace(gen_random_uuid()::text, '-', '') as claim_token
    ), opened as (
        insert into payout.transfer_attempts (
            payout_transfer_id, generation, attempt, worker, window_begins_at, claimed_at,
            lease_until, claim_token_sha256)
        select c.payout_transfer_id, c.generation, c.attempt, p_worker, c.window_begins_at, p_now,
            c.lease_until, sha256(convert_to(c.claim_token, 'UTF8'))
        from claimed as c
    )
    select
        c.payout_transfer_id, c.generation, c.attempt,
        t.payout_ref || ':' || c.generation, c.claim_token, c.request,
        extract(epoch from p_settings.lease_for)::double precision,
        extract(epoch from p_settings.http_deadline_for)::double precision,
        v_first + case when v_apart > 0 then v_apart
            * (array_position(p_payout_transfer_ids, c.payout_transfer_id) - 1) else 0 end,
        extract(epoch from p_now - c.window_begins_at)::double precision
    from claimed as c
    join payout.payout_transfers as t on t.payout_transfer_id = c.payout_transfer_id;
end
$$;
comment on function payout.open_attempts(
    bigint[], text, timestamptz, payout.engine_settings, boolean
) is 'Moves these transfers to in_flight; returns each with its key, token and request.';
