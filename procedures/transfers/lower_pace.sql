-- lower_pace: halve the pace after Stripe refused a request for its rate.
--
-- Refusals of requests that were handed out before the last one say nothing new. Where the pace was
-- used, it is now known to be too fast. Where Stripe answered fewer requests within the last
-- second, half of those are a safe beginning, and the limit is not known yet; of fewer than ten
-- nothing can be told, since other programs may have used up the limit. Nothing is sent for a
-- second, so that a limit that counts by the second has forgotten the former requests.
-- Locks: the pace.

create or replace function payout.lower_pace(p_kind text, p_claimed_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_most numeric;
    v_answered bigint;
begin
    select least(p.per_second, case p_kind
            when 'sends' then e.sends_per_second else e.reads_per_second end),
        case p_kind when 'sends' then (
            select greatest(count(*), 10)
            from payout.transfer_observations as o
            where o.observation_id > (
                    select max(n.observation_id) - 2000 from payout.transfer_observations as n)
                and o.signal = 'response'
                and o.http_status <> 429
                and o.observed_at > v_now - interval '1 second')
        end
    into v_most, v_answered
    from payout.paces as p
    cross join payout.engine_settings as e
    where p.kind = p_kind and (p.refused_at between p_claimed_at and v_now) is not true
    for update of p;
    if not found then
        return;
    end if;

    update payout.paces as p
    set per_second = greatest(coalesce(least(v_most, v_answered), 25) / 2, 0.5),
        refused_per_second = case when 0.8 * v_most <= coalesce(v_answered, v_most) then v_most end,
        refused_at = v_now,
        grown_at = v_now
    where p.kind = p_kind;
    perform setval(q.turns, greatest(
        pg_sequence_last_value(q.turns), (1e6 * (extract(epoch from v_now) + 1))::bigint))
    from (
        select case p_kind when 'sends' then 'payout.send_turns'::regclass
            else 'payout.read_turns'::regclass end
    ) as q (turns);
end
$$;
comment on function payout.lower_pace(text, timestamptz) is
    'Halves the pace of a kind of request for a refusal of one that was handed out then.';
