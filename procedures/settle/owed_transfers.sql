-- owed_transfers: the sums of a settlement's lines that can be owed to somebody.
--
-- An unknown payee is left out, and so is an amount that Stripe does not take in the currency,
-- and all of them where Stripe does not take the metadata: the sum then differs from the
-- settlement's total. A payee who has an account is known: one look for nearly every payee.

create or replace function payout.owed_transfers(p_settlement payout.settlements)
returns table (
    payee_id payout.external_id,
    source_transaction text,
    amount_minor bigint,
    has_account boolean
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select o.payee_id, o.source_transaction, o.amount_minor, h.has_account
    from (
        -- A sum that no bigint holds is none that the settlement's total could be.
        select l.payee_id, l.source_transaction::text,
            least(sum(l.amount_minor), 9223372036854775807)::bigint as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ) as o
    join payout.currencies as c on c.currency = p_settlement.currency
        and o.amount_minor % c.amount_step = 0
    cross join lateral (
        select exists (select from payout.payee_accounts as a where a.payee_id = o.payee_id)
        offset 0
    ) as h (has_account)
    where payout.metadata_problem(p_settlement.metadata) is null
        and (h.has_account
            or exists (select from payout.payees as p where p.payee_id = o.payee_id))
    order by o.payee_id, o.source_transaction;
end
$$;
comment on function payout.owed_transfers(payout.settlements) is
    'Payee, source and amount in minor units of each transfer that a settlement makes, and whether '
    'the payee has an account.';
