-- read_outcomes: read reported outcomes from the JSON that a worker sends.
--
-- The fields that name the attempt must be right; read_outcome drops others that are wrong.
-- Raises: SP312 not an array of outcomes, naming the element.

create or replace function payout.read_outcomes(p_outcomes jsonb)
returns payout.outcome[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' then
        v_problem := 'p_outcomes is not an array';
    else
        select format('outcome %s %s', e.position, c.problem) into v_problem
        from jsonb_array_elements(p_outcomes) with ordinality as e (outcome, position)
        cross join lateral (select case
            when jsonb_typeof(e.outcome) <> 'object' then 'is not an object'
            when coalesce(e.outcome ->> 'payout_transfer_id', '') !~ '^[0-9]{1,18}$'
                then 'has no whole number payout_transfer_id'
            when coalesce(e.outcome ->> 'generation', '') !~ '^[0-9]{1,9}$'
                then 'has no whole number generation'
            when coalesce(e.outcome ->> 'attempt', '') !~ '^[0-9]{1,9}$'
                then 'has no whole number attempt'
            when coalesce(e.outcome ->> 'idempotency_key', '') = '' then 'has no idempotency_key'
            when coalesce(e.outcome ->> 'claim_token', '') = '' then 'has no claim_token'
            when coalesce(e.outcome ->> 'signal', '') not in (
                'response', 'unreadable', 'no_response', 'not_sent')
                then 'has no signal out of response, unreadable, no_response, not_sent'
        end) as c (problem)
        where c.problem is not null
        order by e.position
        limit 1;
    end if;
    if v_problem is not null then
        raise exception '%', v_problem
            using
                errcode = 'SP312',
                hint = 'The comment on type payout.outcome describes an outcome.';
    end if;

    return array(
        select payout.read_outcome(e.outcome)
        from jsonb_array_elements(p_outcomes) with ordinality as e (outcome, position)
        order by e.position);
end
$$;
comment on function payout.read_outcomes(jsonb) is
    'Reported outcomes in the order they came; SP312 when one cannot be read.';
