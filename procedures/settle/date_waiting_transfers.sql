-- date_waiting_transfers: let transfers that waited for an account go out, where there is one now.
--
-- They are due at once, or at pay_after. One that was owed for longer than a key lives keeps that
-- date, so that it is looked for at Stripe before its first send: the database may have gone back
-- to a time before the account. A transfer that waits no longer for another reason ends its wait.
-- Called by: register_payee, look_for_accounts; both hold the locks on the rows of account_waits.

create or replace function payout.date_waiting_transfers(p_payout_transfer_ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_due_ids bigint[];
begin
    with owed as (
        select t.payout_transfer_id, coalesce(m.pay_after, t.created_at) as owed_at
        from payout.payout_transfers as t
        join payout.settlements as m on m.settlement_id = t.settlement_id
        where t.payout_transfer_id = any (p_payout_transfer_ids)
            and exists (select from payout.payee_accounts as a where a.payee_id = t.payee_id)
    ), dated as (
        update payout.transfer_states as s
        set next_attempt_at = case
                when o.owed_at > v_now - e.send_window_for then greatest(o.owed_at, v_now)
                else o.owed_at
            end,
            reason = null,
            changed_at = v_now
        from owed as o
        cross join payout.engine_settings as e
        where s.payout_transfer_id = o.payout_transfer_id
            and s.state = 'scheduled'
            and s.next_attempt_at is null
            and payout.progress_problem(s) is null
        returning s.payout_transfer_id, s.next_attempt_at
    )
    select array_agg(d.payout_transfer_id order by d.payout_transfer_id)
    into v_due_ids
    from dated as d
    where d.next_attempt_at <= v_now;

    update payout.account_waits as w
    set next_look_at = null
    from payout.transfer_states as s
    where w.payout_transfer_id = any (p_payout_transfer_ids)
        and w.next_look_at is not null
        and s.payout_transfer_id = w.payout_transfer_id
        and (s.state <> 'scheduled' or s.next_attempt_at is not null);
    return v_due_ids;
end
$$;
comment on function payout.date_waiting_transfers(bigint[]) is
    'Gives those of the transfers whose payee has an account their date; returns the ids of those '
    'that are due now.';
