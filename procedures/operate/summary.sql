-- summary: the state of all payouts, in sections, as `payout-engine report` prints it.
--
-- One statement, so that all numbers are of one moment. The sections that stand here have a row for
-- each currency, state, account and day at most.
-- Called by: operators, auditors.

create or replace function payout_api.summary(
    p_days integer default 30,
    p_rows integer default 20
)
returns table (section text, row_count bigint, content jsonb)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as $$
    with days as materialized (
        select f.*
        from payout_api.money_flow(current_date - greatest(p_days, 1) + 1, 'infinity') as f
    ), totals as (
        select f.currency, sum(f.transfers_settled) as transfers_settled,
            sum(f.transfers_paid) as transfers_paid, sum(f.settled) as settled,
            sum(f.paid) as paid, sum(f.failed) as failed, sum(f.taken_back) as taken_back
        from days as f
        group by f.currency
    ), overview as (
        select o.*, st.meaning, st.is_final, sum(o.transfers) over state as state_transfers,
            sum(o.amount) over state as state_amount,
            min(o.oldest_since) over state as state_oldest_since
        from payout_api.overview_by_age as o
        join payout.states as st on st.state = o.state
        window state as (partition by o.currency, o.state)
    )
    select s.section, s.row_count, coalesce(s.content, '[]')
    from (
        select 'installation', count(*), jsonb_agg(to_jsonb(i) || jsonb_build_object(
            'first_day', current_date - greatest(p_days, 1) + 1, 'last_day', current_date))
        from payout_api.installation as i
        union all
        select 'overview', count(*), jsonb_agg(
            to_jsonb(o) order by o.currency, o.is_final, o.state, o.since_at_least)
        from overview as o
        union all
        select 'days', count(*), jsonb_agg(to_jsonb(d) order by d.currency, d.day) from days as d
        union all
        select 'totals', count(*), jsonb_agg(
            to_jsonb(t) order by t.transfers_settled + t.transfers_paid desc, t.currency)
        from totals as t
        union all
        select 'accounts', count(*), jsonb_agg(to_jsonb(b) order by b.currency, b.account)
        from payout_api.ledger_balances as b
        union all
        select 'books', count(*), jsonb_agg(to_jsonb(b) order by b.currency)
        from payout_api.trial_balance as b
        union all
        select * from payout.summary_lists(p_rows)
    ) as s (section, row_count, content)
    where s.row_count > 0
$$;
comment on function payout_api.summary(integer, integer) is
    'Sections with their rows, of one moment: the installation; transfers by state and age, what '
    'was settled and paid on each of the last p_days days (UTC), the reasons of unpaid transfers; '
    'balances; open discrepancies, reversed money, holds and workers. row_count is that of the '
    'whole list, content its first rows.';
grant execute on function payout_api.summary(integer, integer)
    to payout_operator, payout_auditor;
