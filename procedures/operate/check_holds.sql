-- check_holds: the holds that wait for a person, the waits for funds, and dates nobody decided.
--
-- A transfer whose date was moved far ahead looks as if it waited like any other.

create or replace function payout.check_holds()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'nothing is on hold', count(*) = 0,
        coalesce(string_agg(format('%s (%s)', concat_ws(' ', h.scope, h.subject), h.reason), ', '),
            'no hold'),
        'payout_api.release_hold(hold_id, reason) once the cause is gone'
    from payout.holds as h
    where h.released_at is null
        and h.goes_on_at is null
    union all
    select 'no currency waits for funds', count(*) = 0,
        coalesce(string_agg(format('%s since %s', h.subject,
            to_char(h.placed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC')), ', '), 'none'),
        'add funds to the platform''s Stripe balance; one transfer is tried from time to time'
    from payout.holds as h
    where h.released_at is null
        and h.awaits = 'funds'
    union all
    select 'no transfer waits for a released hold', count(*) = 0,
        format('%s do', count(*)),
        'the row breaks a rule (select payout.progress_problem(s) from payout.transfer_states as s)'
    from payout.transfer_states as s
    left join payout.holds as h on h.hold_id = s.hold_id and h.released_at is null
    where s.hold_id is not null and h.hold_id is null
    union all
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
comment on function payout.check_holds() is 'Part of payout_api.doctor().';
