-- book_reversals: book each reversal at Stripe once, oldest first, and tell the application.

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
    with booked as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency, stripe_reversal_id)
        select p_transfer.payout_transfer_id, 'reversal', s.generation, 'stripe_balance',
            'payable:' || p_transfer.payee_id, (r.reversal ->> 'amount')::bigint,
            p_transfer.currency, r.reversal ->> 'id'
        from jsonb_array_elements(p_reversals) with ordinality as r (reversal, position)
        join payout.transfer_states as s on s.payout_transfer_id = p_transfer.payout_transfer_id
        order by r.position desc
        on conflict (stripe_reversal_id) where stripe_reversal_id is not null do nothing
        returning payout_transfer_id, ledger_entry_id
    )
    insert into payout.open_reversals (payout_transfer_id, ledger_entry_id)
    select b.payout_transfer_id, b.ledger_entry_id from booked as b;
    get diagnostics v_booked = row_count;

    if v_booked > 0 then
        insert into payout.outcomes (
            payout_transfer_id, status, stripe_transfer_id, reversed_minor)
        select s.payout_transfer_id, 'paid', s.stripe_transfer_id, sum(e.amount_minor)::bigint
        from payout.transfer_states as s
        join payout.ledger_entries as e on e.payout_transfer_id = s.payout_transfer_id
            and e.kind = 'reversal'
        where s.payout_transfer_id = p_transfer.payout_transfer_id
        group by s.payout_transfer_id, s.stripe_transfer_id;
        perform payout.notify_application();
    end if;
    return v_booked;
end
$$;
comment on function payout.book_reversals(payout.payout_transfers, jsonb) is
    'Books reversals that are not booked yet, with one outcome for all; returns their number.';
