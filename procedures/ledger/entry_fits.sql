-- entry_fits: the rules of a row of ledger_entries.
--
-- The movements that exist are a list: kind, debit, credit, and whether a reversal is named.
-- Raises: 23514 with the name of the first rule that is broken.

create or replace function payout.entry_fits(p_entry payout.ledger_entries)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text := case
        when p_entry.amount_minor <= 0 then 'amount_is_positive'
        when p_entry.kind = 'obligation' and p_entry.generation <> 1
            then 'obligation_is_of_the_first_generation'
        when concat_ws(' ',
            p_entry.kind,
            case when p_entry.debit_account like 'payable:_%' then 'payable'
                else nullif(p_entry.debit_account, 'payable') end,
            case when p_entry.credit_account like 'payable:_%' then 'payable'
                else nullif(p_entry.credit_account, 'payable') end,
            case when p_entry.stripe_reversal_id is not null then 'with id' end
        ) not in (
            'obligation settlement_funds payable',
            'reserve payable in_flight',
            'paid in_flight stripe_balance',
            'release in_flight payable',
            'reversal stripe_balance payable with id'
        ) then 'movement_exists'
    end;
begin
    return v_broken is null or payout.refuse_row('ledger_entries', v_broken);
end
$$;
comment on function payout.entry_fits(payout.ledger_entries) is
    'Check: amount > 0, the accounts are those of the kind, only reversals name a reversal.';
