-- book_reversals: book each reversal at Stripe once, oldest first.

create or replace function payout.book_reversals(
    p_transfer payout.payout_transfers, p_reversals jsonb
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_booked integer;
begin
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
        currency, stripe_reversal_id)
    select p_transfer.payout_transfer_id, 'reversal', s.generation, 'stripe_balance',
        'payable:' || p_transfer.payee_id, (r.reversal ->> 'amount')::bigint, p_transfer.currency,
        r.reversal ->> 'id'
    from jsonb_array_elements(p_reversals) with ordinality as r (reversal, position)
    join payout.transfer_states as s on s.payout_transfer_id = p_transfer.payout_transfer_id
    order by r.position desc
    on conflict (stripe_reversal_id) where stripe_reversal_id is not null do nothing;
    get diagnostics v_booked = row_count;
    return v_booked;
end
$$;
comment on function payout.book_reversals(payout.payout_transfers, jsonb) is
    'Books reversals that are not booked yet; returns their number.';
