-- cancel: withdraw transfers that are not owed after all.
--
-- Called by: operator. Only a transfer that is surely not at Stripe: scheduled and not claimed, or
-- failed, and looked for unless Stripe saved its decline, in a database that was compared lately.
-- One that is refused for want of that look has it planned. The books move the amount back to
-- settlement_funds.
-- Safe to repeat. Raises: SP310, SP314 (selected_transfers); SP314 no reason.

create or replace function payout_api.cancel(
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
        'cancel',
        payout.selected_transfers(
            p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency, p_because),
        p_reason, p_preview)
$$;
comment on function payout_api.cancel(
    text, bigint, text, text, text, text, boolean
) is
    'Cancels the transfers that are named by any of the marks, joined by and: they are not owed '
    'after all. One row for each with its result; p_preview changes nothing.';
grant execute on function payout_api.cancel(
    text, bigint, text, text, text, text, boolean
) to payout_operator;
