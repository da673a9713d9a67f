-- owed_again: the amount of a transfer that Stripe has taken back and that is owed again.
--
-- Raises: SP314 no reason, or nothing reversed is owed.

create or replace function payout.owed_again(p_payout_transfer_id bigint, p_reason text)
returns payout.act_result
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select a
    from payout.payout_transfers as t
    left join payout_api.reversed_money as r on r.payout_transfer_id = t.payout_transfer_id
    cross join lateral payout.close_reversed(
        'repay', t.payee_id, t.currency, r.open_minor, p_payout_transfer_id, p_reason, true) as a
    where t.payout_transfer_id = p_payout_transfer_id
$$;
comment on function payout.owed_again(bigint, text) is
    'The preview: the amount that is owed again.';
