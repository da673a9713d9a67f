-- reversals_problem: the contradiction between reversals and the transfer that was paid.

create or replace function payout.reversals_problem(
    p_transfer payout.payout_transfers, p_reversals jsonb
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from jsonb_array_elements(p_reversals) as r
        where r ->> 'currency' is distinct from p_transfer.currency::text
    ) then
        return 'another currency';
    elsif exists (
        select from jsonb_array_elements(p_reversals) as r
        group by r ->> 'id'
        having count(distinct r ->> 'amount') > 1
    ) then
        return 'two amounts of one';
    elsif (
        select sum(r.amount_minor)
        from (
            select r ->> 'id', (r ->> 'amount')::numeric
            from jsonb_array_elements(p_reversals) as r
            union
            select e.stripe_reversal_id, e.amount_minor
            from payout.ledger_entries as e
            where e.payout_transfer_id = p_transfer.payout_transfer_id and e.kind = 'reversal'
        ) as r (id, amount_minor)
    ) > p_transfer.amount_minor then
        return 'more than was paid';
    elsif exists (
        select from payout.ledger_entries as e
        join jsonb_array_elements(p_reversals) as r on r ->> 'id' = e.stripe_reversal_id
        where e.payout_transfer_id <> p_transfer.payout_transfer_id
            or e.amount_minor <> (r ->> 'amount')::bigint
    ) then
        return 'booked otherwise';
    end if;
    return null;
end
$$;
comment on function payout.reversals_problem(payout.payout_transfers, jsonb) is
    'Null: the reversals fit the transfer and the books.';
