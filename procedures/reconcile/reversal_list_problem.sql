-- reversal_list_problem: the reason why a list cannot be the reversals of a transfer.

create or replace function payout.reversal_list_problem(
    p_stripe_transfer_id text, p_reversals jsonb
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := coalesce(
        payout.page_problem(null, null, null, p_reversals, false),
        payout.list_problem(p_reversals, '^trr_[A-Za-z0-9_]+$'));
begin
    if v_problem is null and exists (
        select from jsonb_array_elements(p_reversals) as r
        where r ->> 'transfer' is distinct from p_stripe_transfer_id
            or coalesce(r ->> 'amount' !~ '^[1-9][0-9]{0,17}$', true)
            or jsonb_typeof(r -> 'currency') is distinct from 'string'
    ) then
        v_problem := 'the list holds something that is no reversal of it';
    end if;
    return v_problem;
end
$$;
comment on function payout.reversal_list_problem(text, jsonb) is
    'Null: each object is a reversal of that transfer, with an amount and a currency.';
