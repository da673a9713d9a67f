-- within_caps: the transfers that no cap stops, counted; the others wait.
--
-- One by one, in the order in which they are due: a small one may pass where a large one waits. A
-- key counts once, at its first claim, also if Stripe declines it. A clock that was set back opens
-- no window again that was counted.
-- Called by: claim_transfers, which holds the locks of the transfers, and of the caps, so that one
-- claim at a time counts.

create or replace function payout.within_caps(p_payout_transfer_ids bigint[], p_now timestamptz)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_due record;
    v_cap record;
    v_allowed_ids bigint[] := '{}'::bigint[];
begin
    if not exists (select from payout.caps) then
        return p_payout_transfer_ids;
    end if;

    for v_due in
        select t as transfer, t.*, s.window_begins_at is not null as was_counted
        from unnest(p_payout_transfer_ids) with ordinality as i (payout_transfer_id, place)
        join payout.payout_transfers as t on t.payout_transfer_id = i.payout_transfer_id
        join payout.transfer_states as s on s.payout_transfer_id = i.payout_transfer_id
        order by i.place
    loop
        select * into v_cap
        from payout.exceeded_cap(v_due.transfer, p_now)
        where not v_due.was_counted;
        if found then
            update payout.transfer_states as s
            set hold_id = payout.begin_wait(
                v_cap.hold_scope, v_cap.subject, v_cap.reason, 'cap', v_cap.goes_on_at,
                v_cap.notifies)
            where s.payout_transfer_id = v_due.payout_transfer_id;
            continue;
        end if;
        v_allowed_ids := v_allowed_ids || v_due.payout_transfer_id;
        insert into payout.cap_uses as u (
            scope, subject, currency, begun_at, amount_minor, transfers)
        select c.scope, case c.scope when 'payee' then v_due.payee_id::text else '' end,
            c.currency,
            date_trunc(case c.scope when 'payee' then 'day' else 'hour' end, p_now, 'UTC'),
            v_due.amount_minor, 1
        from payout.caps as c
        where c.currency = v_due.currency and c.scope <> 'transfer' and not v_due.was_counted
        on conflict (scope, currency, subject) do update
        set begun_at = greatest(u.begun_at, excluded.begun_at),
            amount_minor = excluded.amount_minor
                + case when u.begun_at >= excluded.begun_at then u.amount_minor else 0 end,
            transfers = 1 + case when u.begun_at >= excluded.begun_at then u.transfers else 0 end;
    end loop;
    return v_allowed_ids;
end
$$;
comment on function payout.within_caps(bigint[], timestamptz) is
    'Returns those of the transfers that are within every cap, and lets the others wait.';
