-- refuse_bad_payees: refuse a settlement with a payee that cannot be paid.
--
-- Raises: SP301 unknown payee; SP302 payee without a Stripe account.

create or replace function payout.refuse_bad_payees(p_settlement_id text)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_line record;
begin
    select l.line_id, l.payee_id, p.payee_id is not null as is_registered into v_line
    from payout.settlement_lines as l
    left join payout.payees as p on p.payee_id = l.payee_id
    where l.settlement_id = p_settlement_id
        and not exists (
            select from payout.payee_accounts as a where a.payee_id = l.payee_id
        )
    order by l.line_id
    limit 1;

    if not found then
        return;
    end if;
    if not v_line.is_registered then
        raise exception 'settlement %, line %: payee % is unknown',
            p_settlement_id, v_line.line_id, v_line.payee_id
            using
                errcode = 'SP301',
                hint = 'Call payout_api.register_payee first.';
    end if;
    raise exception 'settlement %, line %: payee % has no Stripe account',
        p_settlement_id, v_line.line_id, v_line.payee_id
        using
            errcode = 'SP302',
            hint = 'Call payout_api.register_payee with p_stripe_account_id first.';
end
$$;
comment on function payout.refuse_bad_payees(text) is
    'Refuses a settlement with a payee that is unknown (SP301) or has no Stripe account (SP302).';
