-- explain: the reason why a transfer is not paid, and the call that moves it.
--
-- Called by: operators, approvers, auditors, of a transfer, a settlement or a payee.
-- Raises: SP310, SP314 (selected_transfers).

create or replace function payout_api.explain(
    p_payout_transfer_id bigint default null,
    p_settlement_id text default null,
    p_payee_id text default null
)
returns setof payout_api.explained
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    return query
    select e.*
    from payout_api.explained as e
    where e.payout_transfer_id = any (
        payout.selected_transfers(p_payout_transfer_id, p_settlement_id, p_payee_id))
    order by e.payout_transfer_id;
end
$$;
comment on function payout_api.explain(bigint, text, text) is
    'The rows of payout_api.explained for a transfer, the transfers of a settlement, or those of a '
    'payee that are not paid.';
grant execute on function payout_api.explain(bigint, text, text)
    to payout_operator, payout_approver, payout_auditor;
