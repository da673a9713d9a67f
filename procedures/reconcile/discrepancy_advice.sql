-- discrepancy_advice: what a person does about a kind of finding.

create or replace function payout.discrepancy_advice(p_kind text)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case p_kind
        when 'missing_at_stripe' then
            'Look the id up at Stripe. If it is not there nobody was paid: find out who reported '
            'it, and settle it anew under another settlement.'
        when 'differs_at_stripe' then
            'Look both up. What Stripe has is what was paid: correct the difference with another '
            'settlement, or reverse it at Stripe.'
        when 'reversals_contradict_transfer' then
            'Look the transfer and its reversals up at Stripe. They do not belong to it as it was '
            'paid, so none of them was booked.'
        when 'transfer_without_payout_ref' then
            'Somebody, or other software, paid past the engine. If it pays a settlement, hold '
            'that settlement before it is sent; then resolve this with the reason.'
        when 'unknown_transfer_at_stripe' then
            'This database does not know it: was it restored? Record its settlement again, '
            'unchanged: the transfer becomes paid and is not sent. If it will never be recorded, '
            'reverse the transfer at Stripe, or resolve this with the reason.'
    end;
end
$$;
comment on function payout.discrepancy_advice(text) is 'The next step for a kind of finding.';
