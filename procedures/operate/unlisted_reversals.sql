-- unlisted_reversals: transfers of a range of which more was reversed than closed, yet not listed.
--
-- Called by: check_rules.

create or replace function payout.unlisted_reversals(p_from bigint, p_to bigint)
returns setof bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select e.payout_transfer_id
    from payout.ledger_entries as e
    where e.payout_transfer_id between p_from and p_to
        and e.kind in ('reversal', 'write_off')
        and not exists (
            select from payout.open_reversals as o
            where o.payout_transfer_id = e.payout_transfer_id
        )
    group by e.payout_transfer_id
    having sum(case e.kind when 'reversal' then e.amount_minor else -e.amount_minor end) > 0
$$;
comment on function payout.unlisted_reversals(bigint, bigint) is
    'Numbers of transfers whose open amount payout_api.reversed_money does not show.';
