-- most_per_second: the pace of a kind of request, the setting and what Stripe showed together.

create or replace function payout.most_per_second(p_pace payout.paces)
returns double precision
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select least(p_pace.per_second, case p_pace.kind
        when 'sends' then e.sends_per_second else e.reads_per_second end)::double precision
    from payout.engine_settings as e
$$;
comment on function payout.most_per_second(payout.paces) is
    'The requests a second that all workers together may make; null: any number.';
