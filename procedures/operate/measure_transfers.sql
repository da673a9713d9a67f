-- measure_transfers: count the open transfers and their money, by state, currency and reason.
--
-- Called by: measure. A backlog of more than p_limit transfers of a group is counted as p_limit.
-- Of many reasons thirty are named, the others are `other`: labels stay few.

create or replace function payout.measure_transfers(p_now timestamptz, p_limit integer)
returns table (metric text, meaning text, labels jsonb, value double precision)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    with open_states as materialized (
        select * from payout.open_states(p_limit)
    ), grouped as (
        select s.state, s.reason, t.currency, count(*) as transfers,
            sum(t.amount_minor) as amount_minor, min(s.changed_at) as since
        from open_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        group by s.state, s.reason, t.currency
    ), counted as materialized (
        select g.state::text, payout.metric_label(g.reason) as reason, g.currency::text,
            g.transfers, g.amount_minor * c.minor_unit as amount, g.since
        from grouped as g
        left join payout.currencies as c on c.currency = g.currency
    ), reasons as (
        select c.state, c.reason, sum(c.transfers) as transfers,
            row_number() over (order by sum(c.transfers) desc, c.state, c.reason) as place
        from counted as c group by c.state, c.reason
    ), due as (
        select count(*) as transfers, p_now - min(s.next_attempt_at) as waited_for
        from open_states as s
        where s.next_attempt_at <= p_now and s.hold_id is null and s.next_lookup_at is null
    )
    select m.metric, m.meaning, m.labels, m.value::double precision from (
        select 'payout_open_transfers' as metric, 'Transfers that are open.' as meaning,
            jsonb_build_object('state', c.state, 'currency', c.currency) as labels,
            sum(c.transfers) as value
        from counted as c group by c.state, c.currency
        union all
        select 'payout_open_amount', 'Money of open transfers, in the currency itself.',
            jsonb_build_object('state', c.state, 'currency', c.currency), sum(c.amount)
        from counted as c group by c.state, c.currency
        union all
        select 'payout_open_oldest_seconds', 'Time since the oldest transfer came into the state.',
            jsonb_build_object('state', c.state), extract(epoch from p_now - min(c.since))
        from counted as c group by c.state
        union all
        select 'payout_open_reasons', 'Transfers that are open, by the reason for their state.',
            jsonb_build_object('state', r.state,
                'reason', case when r.place <= 30 then r.reason else 'other' end),
            sum(r.transfers)
        from reasons as r
        group by r.state, case when r.place <= 30 then r.reason else 'other' end
        union all
        select 'payout_due_transfers', 'Transfers that are due and on no hold.', '{}',
            d.transfers
        from due as d
        union all
        select 'payout_failed_for_operators',
            'Failed transfers for which nothing is tried by itself.', '{}', count(*)
        from open_states as s where s.state = 'failed' and s.next_attempt_at is null
        union all
        select 'payout_due_oldest_seconds', 'Time for which the oldest of them has been due.', '{}',
            coalesce(extract(epoch from d.waited_for), 0)
        from due as d
    ) as m;
end
$$;
comment on function payout.measure_transfers(timestamptz, integer) is
    'Part of payout_api.measure().';
