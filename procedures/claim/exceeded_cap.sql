-- exceeded_cap: the cap that stops a transfer, and until when.
--
-- A transfer that is larger than a whole cap waits for a person: to raise the cap, or to release
-- its wait, after which it passes. Days and hours are those of UTC, and no earlier than the newest
-- that was counted. A cap that most transfers exceed raises one alarm in a while, not one for each.

create or replace function payout.exceeded_cap(
    p_transfer payout.payout_transfers, p_now timestamptz
)
returns table (
    hold_scope text, subject text, reason text, goes_on_at timestamptz, notifies boolean
)
language sql
stable
rows 1
set search_path = pg_catalog, pg_temp
as $$
    select
        case when c.scope = 'engine' and w.passes_later then 'currency' else 'transfer' end,
        case when c.scope = 'engine' and w.passes_later
            then p_transfer.currency else p_transfer.payout_transfer_id::text end,
        case c.scope when 'transfer' then 'over_the_cap_of_a_transfer'
            when 'payee' then 'over_the_cap_of_a_payee_and_day'
            else 'over_the_cap_of_an_hour' end,
        case when w.passes_later then w.begun_at
            + case c.scope when 'payee' then interval '1 day' else interval '1 hour' end end,
        case when w.passes_later then c.scope = 'engine' else not exists (
            select
            from payout.holds as h
            join payout.payout_transfers as t
                on t.payout_transfer_id = case h.scope when 'transfer' then h.subject::bigint end
            where h.scope = 'transfer'
                and h.awaits = 'cap'
                and h.released_at is null
                and h.goes_on_at is null
                and h.placed_at > p_now - (
                    select e.alarm_window_for from payout.engine_settings as e)
                and t.currency = p_transfer.currency
        ) end
    from payout.caps as c
    left join payout.cap_uses as u on u.scope = c.scope
        and u.currency = c.currency
        and u.subject = case c.scope when 'payee' then p_transfer.payee_id::text else '' end
    cross join lateral (
        select greatest(u.begun_at,
                date_trunc(case c.scope when 'payee' then 'day' else 'hour' end, p_now, 'UTC')),
            c.scope <> 'transfer'
                and p_transfer.amount_minor <= coalesce(
                    c.largest_amount_minor, p_transfer.amount_minor)
                and coalesce(c.largest_count, 1) > 0
    ) as w (begun_at, passes_later)
    where c.currency = p_transfer.currency
        and (
            p_transfer.amount_minor + case when u.begun_at = w.begun_at then u.amount_minor else 0
                end > c.largest_amount_minor
            or 1 + case when u.begun_at = w.begun_at then u.transfers else 0 end > c.largest_count)
        and not exists (
            select from payout.holds as h
            where h.scope = 'transfer'
                and h.subject = p_transfer.payout_transfer_id::text
                and h.awaits = 'cap'
                and h.released_by <> 'engine'
        )
    order by w.passes_later, c.scope
    limit 1
$$;
comment on function payout.exceeded_cap(payout.payout_transfers, timestamptz) is
    'The wait (scope, subject, reason, end) of a transfer that is over a cap, and whether '
    'operators are notified; no row: it is over none.';
