-- reversals_discrepancy: the discrepancy of reversals that contradict their transfer.

create or replace function payout.reversals_discrepancy(
    p_transfer payout.payout_transfers,
    p_stripe_transfer_id text,
    p_problem text,
    p_reversals jsonb
)
returns payout.discrepancy
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_discrepancy payout.discrepancy;
begin
    v_discrepancy.kind := 'reversals_contradict_transfer';
    v_discrepancy.payout_transfer_id := p_transfer.payout_transfer_id;
    v_discrepancy.stripe_transfer_id := p_stripe_transfer_id;
    v_discrepancy.ours := payout.transfer_facts(
        p_transfer, (select e.is_livemode from payout.engine_settings as e));
    v_discrepancy.theirs := jsonb_build_object('problem', p_problem, 'reversals', (
        select jsonb_agg(jsonb_build_object(
            'id', r -> 'id', 'amount', r -> 'amount', 'currency', r -> 'currency'))
        from jsonb_array_elements(p_reversals) as r));
    return v_discrepancy;
end
$$;
comment on function payout.reversals_discrepancy(payout.payout_transfers, text, text, jsonb) is
    'Names the transfer, the contradiction, and id, amount and currency of each reversal.';
