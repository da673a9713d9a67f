-- register_payees: register those payees of lines that are unknown, without an account.
--
-- In the order of their ids, so that two settlements at once wait for each other and do not
-- deadlock.

create or replace function payout.register_payees(p_lines payout.settlement_lines[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.payees (payee_id)
    select distinct l.payee_id
    from unnest(p_lines) as l
    where not exists (select from payout.payees as p where p.payee_id = l.payee_id)
    order by l.payee_id
    on conflict (payee_id) do nothing;
end
$$;
comment on function payout.register_payees(payout.settlement_lines[]) is
    'Writes the payees that are unknown; an account comes with payout_api.register_payee.';
