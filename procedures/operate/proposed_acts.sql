-- proposed_acts: the acts that wait for another person, as a verb returns them.

create or replace function payout.proposed_acts(
    p_payout_transfer_ids bigint[], p_proposal_id bigint
)
returns setof payout.act_result
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select t.payout_transfer_id, t.settlement_id::text, t.payee_id::text,
        payout_api.major_units(t.amount_minor, t.currency), t.amount_minor, t.currency::text,
        s.state::text, 'proposed', format(
            'another person: select * from payout_api.approve(%s, ''…'')', p_proposal_id)
    from payout.payout_transfers as t
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where t.payout_transfer_id = any (p_payout_transfer_ids)
    order by t.payout_transfer_id
$$;
comment on function payout.proposed_acts(bigint[], bigint) is
    'One row for each transfer, with result proposed and the call that approves.';
