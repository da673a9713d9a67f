-- plan_awaited_looks: plan the looks at Stripe's list that refused acts wait for.
--
-- Called by: act, which holds the locks on the transfers.

create or replace function payout.plan_awaited_looks(p_acts payout.act_result[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    update payout.transfer_states as s
    set next_lookup_at = payout.look_awaited_from(s)
    from unnest(p_acts) as a
    where s.payout_transfer_id = a.payout_transfer_id
        and a.result = 'refused'
        and s.next_lookup_at is null
        and payout.progress_problem(s) is null
        and payout.look_awaited_from(s) is not null
$$;
comment on function payout.plan_awaited_looks(payout.act_result[]) is
    'Plans a look, for the time from which it counts, where none is planned.';
