-- metric_label: a text as the value of a label of a metric.
--
-- A sentence, an id or a name that a person gave is no label: each would be a series of its own.

create or replace function payout.metric_label(p_text text)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_text is null then 'none'
        when p_text ~ '^[a-z][a-z0-9_]{0,59}$' then p_text
        else 'other'
    end
$$;
comment on function payout.metric_label(text) is
    'The text itself where it is a code such as balance_insufficient, else other; none for null.';
