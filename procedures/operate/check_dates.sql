-- check_dates: whether transfers wait for a time that somebody has decided.
--
-- A transfer whose date was moved far ahead looks as if it waited like any other.

create or replace function payout.check_dates()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every date is one that was decided', count(*) = 0,
        format('%s are not%s', count(*), ', the first is number ' || min(s.payout_transfer_id)),
        'find out who moved it; the settlement''s pay_after and the observations say the true one'
    from payout_api.open_transfers as s
    where s.next_attempt_at > clock_timestamp() + interval '1 day'
        and not exists (
            select
            from payout.payout_transfers as p
            join payout.settlements as t on t.settlement_id = p.settlement_id
            where p.payout_transfer_id = s.payout_transfer_id
                and t.pay_after >= s.next_attempt_at
        )
        and not exists (
            select
            from payout.transfer_observations as o
            where o.payout_transfer_id = s.payout_transfer_id
                and o.next_attempt_at >= s.next_attempt_at
        )
$$;
comment on function payout.check_dates() is 'Part of payout_api.doctor().';
