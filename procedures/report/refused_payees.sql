-- refused_payees: count the payees that got the same refusal from a worker, with the present one.
--
-- A payee counts whose first refusal came since that worker last paid: a key that makes transfers
-- is not refused, however many payees are. One that waits for its account has its own trouble.
-- The newest thousand observations tell.

create or replace function payout.refused_payees(
    p_error_rule_id integer, p_outcome payout.outcome
)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with of_worker as (
        select o.*, t.payee_id
        from payout.transfer_attempts as present
        join payout.transfer_observations as o
            on o.observation_id > (
                select max(n.observation_id) - 1000 from payout.transfer_observations as n)
        join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
            and a.attempt = o.attempt
            and a.worker = present.worker
        join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
        where present.payout_transfer_id = p_outcome.payout_transfer_id
            and present.attempt = p_outcome.attempt
            and o.verdict = 'ok'
            and o.observed_at > payout.clock() - (
                select e.alarm_window_for from payout.engine_settings as e)
    ), refused as (
        select w.payee_id, min(w.observation_id) as observation_id
        from of_worker as w
        where w.error_rule_id = p_error_rule_id
        group by w.payee_id
        union all
        select t.payee_id, null
        from payout.payout_transfers as t
        where t.payout_transfer_id = p_outcome.payout_transfer_id
            and t.payee_id not in (
                select w.payee_id from of_worker as w where w.error_rule_id = p_error_rule_id)
    )
    select count(*)::integer
    from refused as r
    where not exists (
            select
            from of_worker as w
            where w.signal = 'response'
                and w.moved_to = 'paid'
                and w.observation_id > r.observation_id)
        and r.payee_id::text not in (select h from payout.held('payee', 'account') as h)
$$;
comment on function payout.refused_payees(integer, payout.outcome) is
    'The number of payees whose transfers met this error rule at the same worker within '
    'engine_settings.alarm_window_for, first since it last paid, and that do not wait for their '
    'accounts; that of the outcome included.';
