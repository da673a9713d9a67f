-- refused_payees: count the payees that got the same refusal lately, with the present one.
--
-- The newest thousand observations tell.

create or replace function payout.refused_payees(
    p_error_rule_id integer, p_outcome payout.outcome
)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select count(distinct t.payee_id)::integer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_outcome.payout_transfer_id
        or t.payout_transfer_id in (
            select o.payout_transfer_id
            from payout.transfer_observations as o
            where o.observation_id > (
                    select max(n.observation_id) - 1000 from payout.transfer_observations as n)
                and o.error_rule_id = p_error_rule_id
                and o.verdict = 'ok'
                and o.observed_at > payout.clock() - (
                    select e.alarm_window_for from payout.engine_settings as e)
        )
$$;
comment on function payout.refused_payees(integer, payout.outcome) is
    'The number of payees whose transfers met this error rule within '
    'engine_settings.alarm_window_for, that of the outcome included.';
