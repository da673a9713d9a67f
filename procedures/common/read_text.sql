-- read_text: a text out of JSON from outside, if it is one that can be stored and indexed.
--
-- Stripe's ids have 255 characters at most, values of metadata 500.

create or replace function payout.read_text(p_value jsonb)
returns text
language sql
immutable
return case
    when jsonb_typeof(p_value) = 'string' and length(p_value #>> '{}') <= 500
        then p_value #>> '{}'
end;
comment on function payout.read_text(jsonb) is
    'The text; null for a value that is absent, of another type or longer than 500 characters.';
