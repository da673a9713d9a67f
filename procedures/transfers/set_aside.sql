-- set_aside: park a transfer whose rows contradict each other, so that the others go on.
--
-- Called by: claim, report and sweep, once the transfer alone has raised an error. It is held,
-- reported as a discrepancy, and looked up at Stripe like any parked transfer. A row that breaks
-- a rule of its own cannot even be parked: the hold stops its sends.

create or replace function payout.set_aside(p_payout_transfer_id bigint, p_error text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_discrepancy_id bigint;
begin
    insert into payout.discrepancies (kind, payout_transfer_id, ours, theirs, advice)
    select 'row_contradicts_facts', s.payout_transfer_id, to_jsonb(s),
        jsonb_build_object('error', p_error),
        'Its row and its facts contradict each other: compare them with '
        'payout_api.verify_projection(), and correct the row (docs/restore.md). It is not sent.'
    from payout.transfer_states as s
    where s.payout_transfer_id = p_payout_transfer_id
        and not exists (
            select from payout.discrepancies as d
            where d.payout_transfer_id = s.payout_transfer_id
                and d.kind = 'row_contradicts_facts'
                and d.resolved_at is null
        )
    returning discrepancy_id into v_discrepancy_id;
    if found then
        perform payout.notify_operators(
            'row_contradicts_facts', 'transfer ' || p_payout_transfer_id, jsonb_build_object(
                'payout_transfer_id', p_payout_transfer_id, 'discrepancy_id', v_discrepancy_id));
    else
        select d.discrepancy_id into v_discrepancy_id
        from payout.discrepancies as d
        where d.payout_transfer_id = p_payout_transfer_id
            and d.kind = 'row_contradicts_facts'
            and d.resolved_at is null;
    end if;
    -- Its hold may have been released too early.
    perform payout.stop_transfer(
        p_payout_transfer_id, 'row_contradicts_facts', v_discrepancy_id);
    perform payout.park_contradiction(p_payout_transfer_id);
end
$$;
comment on function payout.set_aside(bigint, text) is
    'Holds and parks a transfer, once, with a discrepancy row_contradicts_facts that names the '
    'error.';
