-- read_whole: a whole number out of JSON from outside, if it is one that bigint holds.

create or replace function payout.read_whole(p_value jsonb)
returns bigint
language sql
immutable
return case
    when jsonb_typeof(p_value) = 'number'
        and p_value #>> '{}' ~ '^[0-9]{1,19}$'
        and p_value <= '9223372036854775807'
        then (p_value #>> '{}')::bigint
end;
comment on function payout.read_whole(jsonb) is
    'The number; null for one that is absent, negative, broken, more than bigint holds, or no '
    'number.';
