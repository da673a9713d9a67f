-- reversals_finding: reversals that contradict their transfer, for a person to look at.

create or replace function payout.reversals_finding(
    p_transfer payout.payout_transfers,
    p_stripe_transfer_id text,
    p_problem text,
    p_reversals jsonb
)
returns payout.finding
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_finding payout.finding;
begin
    v_finding.kind := 'reversals_contradict_transfer';
    v_finding.payout_transfer_id := p_transfer.payout_transfer_id;
    v_finding.stripe_transfer_id := p_stripe_transfer_id;
    v_finding.ours := payout.transfer_facts(
        p_transfer, (select e.is_livemode from payout.engine_settings as e));
    v_finding.theirs := jsonb_build_object('problem', p_problem, 'reversals', (
        select jsonb_agg(jsonb_build_object(
            'id', r -> 'id', 'amount', r -> 'amount', 'currency', r -> 'currency'))
        from jsonb_array_elements(p_reversals) as r));
    return v_finding;
end
$$;
comment on function payout.reversals_finding(payout.payout_transfers, text, text, jsonb) is
    'The finding that says which reversals do not fit which transfer, and why.';
