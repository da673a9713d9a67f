-- next_round: the time until a wait lets the next transfer through.
--
-- Funds may come any hour: minutes, then an hour. An account takes transfers again after a person
-- did something: hours, then a day, then a week; after 19 times, some three months, the engine
-- gives up. The rounds of several waits that began together do not stay together.

create or replace function payout.next_round(p_awaits text, p_probes integer)
returns interval
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (0.75 + random() / 2) * case p_awaits
        when 'funds' then least(interval '2 minutes' * 2 ^ least(p_probes, 30), interval '1 hour')
        when 'account' then case when p_probes < 19
            then least(interval '2 hours' * 2 ^ p_probes, interval '7 days') end
    end;
end
$$;
comment on function payout.next_round(text, integer) is
    'The wait after so many transfers were let through; null: no more is.';
