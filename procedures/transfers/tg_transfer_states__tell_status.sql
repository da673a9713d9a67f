-- tg_transfer_states__tell_status: write an outcome for each transfer whose status has changed.
--
-- It fires whoever moves a transfer. A hold is told when a sweep marks a transfer that is due, and
-- when it is released; a hold on the engine marks none, and so tells nothing. Hash joins, whatever
-- the caller has set: a claim may be of a thousand.

create or replace function payout.tg_transfer_states__tell_status()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_hashjoin = on
set enable_nestloop = off
as $$
begin
    insert into payout.outcomes (
        payout_transfer_id, status, reason, hold_id, stripe_transfer_id, changed_at)
    select c.payout_transfer_id, w.status,
        case when w.status in ('failed', 'cancelled', 'settled_outside') then c.reason end,
        case when w.status = 'on_hold' then c.hold_id end,
        c.stripe_transfer_id,
        case when c.state = f.state then current_timestamp else c.changed_at end
    from changed as c
    join former as f on f.payout_transfer_id = c.payout_transfer_id
    join payout.states as a on a.state = f.state
    join payout.states as b on b.state = c.state
    cross join lateral (
        select
            case
                when c.state = 'scheduled' and c.next_attempt_at is null then 'waiting_for_account'
                when c.hold_id is null then b.status
                else b.status_on_hold
            end as status,
            case
                when f.state = 'scheduled' and f.next_attempt_at is null then 'waiting_for_account'
                when f.hold_id is null then a.status
                else a.status_on_hold
            end as former_status
    ) as w
    where w.status <> w.former_status
    order by c.payout_transfer_id;

    if found then
        perform payout.notify_application();
    end if;
    return null;
end
$$;
comment on function payout.tg_transfer_states__tell_status() is
    'Trigger: writes payout.outcomes for each transfer whose status for the application changed.';
