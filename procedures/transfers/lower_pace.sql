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
    v_pace payout.paces;
    v_most numeric;
    v_answered integer;
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

    v_most := payout.most_per_second(p_kind)::numeric;
    v_answered := case p_kind when 'sends' then greatest(payout.answered_lately(), 10) end;
    update payout.paces as p
    set per_second = greatest(coalesce(least(v_most, v_answered), 25) / 2, 0.5),
        refused_per_second = case when 0.8 * v_most <= coalesce(v_answered, v_most) then v_most end,
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
