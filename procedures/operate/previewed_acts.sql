-- previewed_acts: the result that an act would have for each transfer, as it stands now.
--
-- A database that went back in time may have forgotten that it sent a transfer. So a debt is ended,
-- as a transfer is claimed, only once Stripe's newest transfers were compared lately; where nothing
-- was ever claimed, a settlement made by mistake is cancelled before there is a worker.

create or replace function payout.previewed_acts(
    p_verb text, p_payout_transfer_ids bigint[], p_takes_two boolean
)
returns setof payout.act_result
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with uncompared as materialized (
        select case
            when p_verb in ('cancel', 'settle_outside')
                and exists (select from payout.transfer_attempts)
                and not payout.is_compared(e.comparison_counts_for)
                then 'Stripe''s newest transfers were not compared lately, and may show it: a '
                    'worker compares them by itself, as payout-engine reconcile does'
        end as problem
        from payout.engine_settings as e
    )
    select t.payout_transfer_id, t.settlement_id::text, t.payee_id::text,
        payout_api.major_units(t.amount_minor, t.currency), t.amount_minor, t.currency::text,
        s.state::text,
        case
            when j.verdict = 'already' then 'already'
            when j.verdict = 'ok' and c.problem is null then 'preview'
            else 'refused'
        end,
        case j.verdict
            when 'stale' then j.reason
            when 'ok' then coalesce(c.problem, concat_ws(', ',
                coalesce('becomes ' || nullif(j.to_state, s.state::text), 'goes on now'),
                case when p_takes_two then 'once another person approves' end))
        end
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    cross join payout.engine_settings as e
    cross join uncompared as c
    cross join lateral payout.judge_act(p_verb, s, t, e) as j
    where s.payout_transfer_id = any (p_payout_transfer_ids)
    order by s.payout_transfer_id
$$;
comment on function payout.previewed_acts(text, bigint[], boolean) is
    'One row for each transfer, with result preview, already or refused.';
