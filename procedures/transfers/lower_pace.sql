-- lower_pace: halve the pace after Stripe refused a request for its rate.
--
-- Refusals of requests that were handed out before the last one say nothing new. Where no pace is
-- known yet it is the number of requests that Stripe answered within the last second. Nothing is
-- sent for a second, so that a limit that counts by the second has forgotten the former ones.
-- Locks: the pace.

create or replace function payout.lower_pace(p_kind text, p_claimed_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_pace payout.paces;
    v_refused numeric;
begin
    if exists (
        select from payout.paces as p
        where p.kind = p_kind and p.refused_at between p_claimed_at and v_now
    ) then
        return;
    end if;
    select * into strict v_pace from payout.paces as p where p.kind = p_kind for update;
    if v_pace.refused_at between p_claimed_at and v_now then
        return;
    end if;

    v_refused := greatest(1, coalesce(payout.most_per_second(v_pace)::numeric, case p_kind
        when 'sends' then payout.answered_lately() else 25 end));
    update payout.paces as p
    set per_second = greatest(v_refused / 2, 0.5),
        refused_per_second = v_refused,
        refused_at = v_now,
        grown_at = v_now
    where p.kind = p_kind;
    perform setval(
        case p_kind when 'sends' then 'payout.send_turns'::regclass
            else 'payout.read_turns'::regclass end,
        (extract(epoch from greatest(
            payout.next_turn(p_kind, v_now), v_now + interval '1 second')) * 1e6)::bigint);
end
$$;
comment on function payout.lower_pace(text, timestamptz) is
    'Halves the pace of a kind of request for a refusal of one that was handed out then.';
