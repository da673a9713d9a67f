-- check_holds: the holds that wait for a person, and the waits for funds.

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
$$;
comment on function payout.check_holds() is 'Part of payout_api.doctor().';
