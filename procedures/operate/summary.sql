-- summary: the state of all payouts, in sections, as `payout-engine report` prints it.
--
-- One statement, so that all numbers are of one moment. A list that may be long is cut after p_rows
-- rows; row_count counts them all.
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
    select s.section, max(s.place),
        coalesce(jsonb_agg(s.content order by s.place)
            filter (where s.most is null or s.place <= s.most), '[]')
    from (
        select * from payout.summary_installation(p_days)
        union all
        select * from payout.summary_transfers(p_days, p_rows)
        union all
        select * from payout.summary_balances(p_rows)
        union all
        select * from payout.summary_troubles(p_rows)
    ) as s
    group by s.section
$$;
comment on function payout_api.summary(integer, integer) is
    'Sections with their rows, of one moment: the installation; transfers by state and age, what '
    'was settled and paid on each of the last p_days days (UTC), the reasons of unpaid transfers; '
    'balances; open discrepancies, reversed money, holds and workers. row_count is that of the '
    'whole list, content its first rows.';
grant execute on function payout_api.summary(integer, integer)
    to payout_operator, payout_auditor;
