-- owed_transfers: the sums of a settlement's lines that can be sent to somebody.
--
-- A payee without an account is left out, and so is an amount that Stripe does not take in the
-- currency, and all of them where Stripe does not take the metadata: the sum then differs from
-- the settlement's total.

create or replace function payout.owed_transfers(p_settlement payout.settlements)
returns table (
    payee_id payout.external_id,
    source_transaction text,
    amount_minor bigint
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select o.payee_id, o.source_transaction, o.amount_minor
    from (
        -- A sum that no bigint holds is more than any currency takes.
        select l.payee_id, l.source_transaction::text,
            least(sum(l.amount_minor), 1000000000000000000)::bigint as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ) as o
    join payout.currencies as c on c.currency = p_settlement.currency
        and o.amount_minor <= c.largest_amount_minor
        and o.amount_minor % c.amount_step = 0
    where exists (select from payout.payee_accounts as a where a.payee_id = o.payee_id)
        and payout.metadata_problem(p_settlement.metadata) is null
    order by o.payee_id, o.source_transaction;
end
$$;
comment on function payout.owed_transfers(payout.settlements) is
    'Payee, source and amount in minor units of each transfer that a settlement makes.';
