-- refuse_bad_header: refuse a settlement with a currency or metadata that Stripe does not take.
--
-- Raises: SP305 unsupported currency; SP308 metadata.

create or replace function payout.refuse_bad_header(p_settlement payout.settlements)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := payout.metadata_problem(p_settlement.metadata);
begin
    if not exists (
        select from payout.currencies as c where c.currency = p_settlement.currency
    ) then
        raise exception 'settlement %: currency % is not supported',
            p_settlement.settlement_id, p_settlement.currency
            using
                errcode = 'SP305',
                hint = 'payout.currencies lists those that Stripe transfers.';
    end if;
    if v_problem is not null then
        raise exception 'settlement %: metadata %', p_settlement.settlement_id, v_problem
            using
                errcode = 'SP308',
                hint = 'Stripe takes 50 keys of 40 characters, text values of 500; three are ours.';
    end if;
end
$$;
comment on function payout.refuse_bad_header(payout.settlements) is
    'Refuses a settlement for its currency (SP305) or metadata (SP308).';
