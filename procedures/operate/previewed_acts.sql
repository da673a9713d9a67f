-- previewed_acts: the result that an act would have for each transfer, as it stands now.

create or replace function payout.previewed_acts(
    p_verb text, p_payout_transfer_ids bigint[], p_details jsonb
)
returns setof payout.act_result
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select t.payout_transfer_id, t.settlement_id::text, t.payee_id::text,
        payout_api.major_units(t.amount_minor, t.currency), t.amount_minor, t.currency::text,
        s.state::text,
        case j.verdict when 'ok' then 'preview' when 'already' then 'already' else 'refused' end,
        case j.verdict
            when 'stale' then j.reason
            when 'ok' then coalesce('becomes ' || nullif(j.to_state, s.state::text), 'goes on now')
        end
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    cross join payout.engine_settings as e
    cross join lateral payout.judge_act(
        payout.act_outcome(p_verb, s, 0, p_details), s, t, e) as j
    where s.payout_transfer_id = any (p_payout_transfer_ids)
    order by s.payout_transfer_id
$$;
comment on function payout.previewed_acts(text, bigint[], jsonb) is
    'One row for each transfer, with result preview, already or refused.';
