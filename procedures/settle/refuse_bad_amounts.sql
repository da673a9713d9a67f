-- refuse_bad_amounts: refuse a settlement with an amount that Stripe does not take.
--
-- Raises: SP304 more than one transfer can carry; SP306 not a multiple of the step.

create or replace function payout.refuse_bad_amounts(p_settlement_id text, p_currency text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_transfer record;
begin
    select l.payee_id, sum(l.amount_minor) as amount_minor, c.largest_amount_minor, c.amount_step
    into v_transfer
    from payout.settlement_lines as l
    join payout.currencies as c on c.currency = p_currency
    where l.settlement_id = p_settlement_id
    group by l.payee_id, l.source_transaction, c.largest_amount_minor, c.amount_step
    having sum(l.amount_minor) > c.largest_amount_minor or sum(l.amount_minor) % c.amount_step <> 0
    order by l.payee_id
    limit 1;

    if not found then
        return;
    end if;
    if v_transfer.amount_minor > v_transfer.largest_amount_minor then
        raise exception 'settlement %, payee %: % is more than one transfer can carry (% %)',
            p_settlement_id, v_transfer.payee_id, v_transfer.amount_minor,
            v_transfer.largest_amount_minor, p_currency
            using
                errcode = 'SP304',
                hint = 'Split it over several settlements.';
    end if;
    raise exception 'settlement %, payee %: % is not a multiple of % as Stripe asks for %',
        p_settlement_id, v_transfer.payee_id, v_transfer.amount_minor,
        v_transfer.amount_step, p_currency
        using
            errcode = 'SP306',
            hint = 'payout.currencies.amount_step says which amounts a currency knows.';
end
$$;
comment on function payout.refuse_bad_amounts(text, text) is
    'Refuses a transfer of the settlement that is too large (SP304) or off the currency''s step '
    '(SP306).';
