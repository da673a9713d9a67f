-- refused_payees: count the payees that got the same refusal from a worker, with the present one.
--
-- Since that worker last paid: a key that makes transfers is not refused, however many payees are.
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
        select o.*
        from payout.transfer_attempts as present
        join payout.transfer_observations as o
            on o.observation_id > (
                select max(n.observation_id) - 1000 from payout.transfer_observations as n)
        join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
            and a.attempt = o.attempt
            and a.worker = present.worker
        where present.payout_transfer_id = p_outcome.payout_transfer_id
            and present.attempt = p_outcome.attempt
            and o.verdict = 'ok'
            and o.observed_at > payout.clock() - (
                select e.alarm_window_for from payout.engine_settings as e)
    )
    select count(distinct t.payee_id)::integer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_outcome.payout_transfer_id
        or t.payout_transfer_id in (
            select r.payout_transfer_id
            from of_worker as r
            where r.error_rule_id = p_error_rule_id
                and not exists (
                    select
                    from of_worker as s
                    where s.signal = 'response'
                        and s.moved_to = 'paid'
                        and s.observation_id > r.observation_id)
        )
$$;
comment on function payout.refused_payees(integer, payout.outcome) is
    'The number of payees whose transfers met this error rule at the same worker within '
    'engine_settings.alarm_window_for and since it last paid, that of the outcome included.';
