-- lock_due_transfers: lock the transfers that are due and may be sent, oldest first.
--
-- A key whose window begins in the future, by a clock that has since been set back, is of unknown
-- age and is not sent. A first send that comes after its window waits for a look at Stripe's list
-- (plan_late_lookups). A transfer that Stripe has listed is left to the sweep. The low
-- estimate of rows keeps the planner on the index of due transfers, away from the history;
-- transfers that a sweep found on hold are not in it. The holds are read only while there are any,
-- each scope once, into a hash: hence `in` within a case, and the case begins with a column of
-- transfer_states, so that only due transfers are looked at. Waits stop first sends alone;
-- those for funds and for an account not the transfer that one of them lets through.
-- Locks: the transfers' progress rows, and their own, to which the attempt will refer; skipping
-- those that are locked.

create or replace function payout.lock_due_transfers(
    p_now timestamptz,
    p_window_begins_after timestamptz,
    p_worker text,
    p_limit integer,
    p_payout_job_id bigint
)
returns table (payout_transfer_id bigint, wakeup_id bigint)
language plpgsql
volatile
rows 20
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select s.payout_transfer_id, s.wakeup_id
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.next_attempt_at <= p_now
        and s.hold_id is null
        and s.state in ('scheduled', 'retry_wait', 'unknown')
        and ((s.window_begins_at is null and s.next_attempt_at > p_window_begins_after)
            or (s.window_begins_at > p_window_begins_after and s.window_begins_at <= p_now))
        and (p_payout_job_id is null or t.payout_job_id = p_payout_job_id)
        and not case
            when (select exists (select from payout.listed_transfers))
                then exists (
                    select from payout.listed_transfers as l where l.payout_ref = t.payout_ref
                )
            else false
        end
        and not exists (
            select from payout.holds as h
            where h.released_at is null
                and h.awaits is null
                and (h.scope = 'engine' or (h.scope = 'worker' and h.subject = p_worker))
        )
        and not case
            when s.hold_id is not null then true
            when (select exists (
                select from payout.holds as h
                where h.scope <> 'engine' and h.awaits is null and h.released_at is null))
                then
                    t.currency::text in (select h from payout.held('currency') as h)
                    or t.payee_id::text in (select h from payout.held('payee') as h)
                    or t.settlement_id::text in (select h from payout.held('settlement') as h)
                    or t.payout_transfer_id::text in (select h from payout.held('transfer') as h)
            else false
        end
        and not case
            when s.window_begins_at is not null then false
            when (select exists (
                select from payout.holds as h where h.awaits is not null and h.released_at is null))
                then (
                    t.currency::text in (select h from payout.held('currency', 'cap') as h)
                    or t.payout_transfer_id::text in (
                        select h from payout.held('transfer', 'cap') as h)
                    or t.payee_id::text in (
                        select h from payout.held('payee', 'account_change') as h)
                    or (
                        t.payee_id::text in (select h from payout.held('payee', 'account') as h)
                        or t.source_transaction is null and t.currency::text in (
                            select h from payout.held('currency', 'funds') as h)
                    ) and t.payout_transfer_id not in (select payout.let_through_ids())
                )
            else false
        end
    order by s.next_attempt_at
    limit p_limit
    for update of s skip locked
    for key share of t skip locked;
end
$$;
comment on function payout.lock_due_transfers(timestamptz, timestamptz, text, integer, bigint) is
    'Returns up to p_limit transfers that are not on hold and whose key is young enough.';
