-- park: stop sending transfers under their keys, and look them up at Stripe first.
--
-- Called by: operator. Only transfers that wait to be sent again; a hold stops one that was never
-- sent. The look goes on by its result: paid, or a new key after a proof of absence.
-- Safe to repeat. Raises: SP310, SP314 (selected_transfers); SP314 no reason.

create or replace function payout_api.park(
    p_reason text,
    p_payout_transfer_id bigint default null,
    p_settlement_id text default null,
    p_payee_id text default null,
    p_currency text default null,
    p_because text default null,
    p_preview boolean default false
)
returns setof payout.act_result
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    select * from payout.act(
        'park',
        payout.selected_transfers(
            p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency, p_because),
        p_reason, p_preview)
$$;
comment on function payout_api.park(
    text, bigint, text, text, text, text, boolean
) is
    'Parks transfers that wait to be sent again, named by any of the marks, joined by and: they '
    'are looked up at Stripe first. One row for each with its result; p_preview changes nothing.';
grant execute on function payout_api.park(
    text, bigint, text, text, text, text, boolean
) to payout_operator;
