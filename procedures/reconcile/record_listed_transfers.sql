-- record_listed_transfers: judge listed transfers as successes, so that ours become paid.
--
-- Each counts for the present key. Two listed transfers with one payout_ref are judged one after
-- the other: the second is an alarm.
-- Locks: the transfers' progress rows, in id order.

create or replace function payout.record_listed_transfers(p_stripe_transfer_ids text[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_outcomes payout.outcome[];
    v_alarms integer := 0;
begin
    if p_stripe_transfer_ids = '{}' then
        return 0;
    end if;
    perform from payout.transfer_states as s
    where s.payout_transfer_id = any (array(
        select t.payout_transfer_id
        from payout.listed_transfers as l
        join payout.payout_transfers as t on t.payout_ref = l.payout_ref
        where l.stripe_transfer_id = any (p_stripe_transfer_ids)))
    order by s.payout_transfer_id
    for update;

    for v_outcomes in
        select array_agg(o.outcome)
        from (
            select
                payout.listed_transfer_outcome(l, s) as outcome,
                row_number() over (
                    partition by s.payout_transfer_id order by l.created_at, l.stripe_transfer_id
                ) as turn
            from payout.listed_transfers as l
            join payout.payout_transfers as t on t.payout_ref = l.payout_ref
            join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
            where l.stripe_transfer_id = any (p_stripe_transfer_ids)
        ) as o
        group by o.turn
        order by o.turn
    loop
        v_alarms := v_alarms + (
            select count(*) filter (where r.verdict = 'alarm')
            from payout.record_outcomes_apart(v_outcomes) as r)::integer;
    end loop;
    perform payout.resolve_paid(p_stripe_transfer_ids);
    return v_alarms;
end
$$;
comment on function payout.record_listed_transfers(text[]) is
    'Judges stored listed transfers that are known here; returns the number of alarms.';
