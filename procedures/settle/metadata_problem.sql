-- metadata_problem: the reason why a settlement's metadata cannot be Stripe metadata.
--
-- Stripe takes 50 keys of up to 40 characters without square brackets and text values of up to
-- 500 (docs.stripe.com/api/metadata); four keys are ours.

create or replace function payout.metadata_problem(p_metadata jsonb)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_metadata = '{}' then null
        when jsonb_typeof(p_metadata) <> 'object' then 'is not an object'
        when (select count(*) from jsonb_object_keys(p_metadata)) > 46 then 'has over 46 keys'
        else (
            select c.problem
            from jsonb_each(p_metadata) as m
            cross join lateral (select case
                when m.key in ('payout_engine', 'payout_ref', 'settlement_id', 'payee_id')
                    then format('key %s is reserved', m.key)
                when length(m.key) not between 1 and 40
                    then format('key %s is not 1 to 40 characters long', left(m.key, 60))
                when m.key ~ '[][]' then format('key %s has a square bracket', m.key)
                when jsonb_typeof(m.value) <> 'string' then format('value of %s is not text', m.key)
                when length(m.value #>> '{}') not between 1 and 500
                    then format('value of %s is not 1 to 500 characters long', m.key)
            end) as c (problem)
            where c.problem is not null
            order by m.key
            limit 1
        )
    end
$$;
comment on function payout.metadata_problem(jsonb) is
    'The rule of Stripe that this metadata breaks beside our own four keys, or null.';
