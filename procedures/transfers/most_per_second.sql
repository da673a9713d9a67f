-- most_per_second: the pace of a kind of request, the setting and what Stripe showed together.

create or replace function payout.most_per_second(p_kind text)
returns double precision
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select least(p.per_second, case p_kind
            when 'sends' then e.sends_per_second else e.reads_per_second end)::double precision
        from payout.engine_settings as e
        join payout.paces as p on p.kind = p_kind);
end
$$;
comment on function payout.most_per_second(text) is
    'The requests a second that all workers together may make; null: any number.';
