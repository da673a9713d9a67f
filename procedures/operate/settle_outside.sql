-- settle_outside: say that a transfer was paid in another way, and close it in the books.
--
-- Called by: operator, after a bank transfer, or for a transfer at Stripe that the engine cannot
-- take for its own. Only where cancel is allowed, or where Stripe has shown a transfer of a failed
-- one. Above approval_limit_minor another person has to approve.
-- Safe to repeat. Raises: SP310 no such transfer; SP314 no reference or no reason.

create or replace function payout_api.settle_outside(
    p_payout_transfer_id bigint,
    p_reference text,
    p_reason text,
    p_preview boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := payout.selected_transfers(p_payout_transfer_id);
begin
    if coalesce(btrim(p_reference), '') = '' then
        raise exception 'transfer % is not settled outside without a reference',
            p_payout_transfer_id
            using
                errcode = 'SP314',
                hint = 'Name the payment: the bank''s reference, or Stripe''s tr_ id.';
    end if;
    return query
    select a.*
    from payout.payout_transfers as t
    cross join payout.engine_settings as e
    cross join lateral payout.act(
        'settle_outside', v_ids, p_reason, p_preview, jsonb_build_object('reference', p_reference),
        t.amount_minor > e.approval_limit_minor) as a
    where t.payout_transfer_id = p_payout_transfer_id;
end
$$;
comment on function payout_api.settle_outside(bigint, text, text, boolean) is
    'Closes a transfer that is scheduled or failed as paid in another way, with its reference; one '
    'row with the result. p_preview changes nothing.';
grant execute on function payout_api.settle_outside(bigint, text, text, boolean)
    to payout_operator;
