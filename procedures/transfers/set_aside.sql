-- set_aside: park a transfer whose rows contradict each other, so that the others go on.
--
-- Called by: claim, report and sweep, once the transfer alone has raised an error. It is held,
-- reported as a discrepancy, and looked up at Stripe like any parked transfer; a failed one stays
-- failed, without the date of a next key. A row that breaks a rule of its own cannot even be
-- parked: the hold stops its sends.

create or replace function payout.set_aside(p_payout_transfer_id bigint, p_error text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_discrepancy_id bigint := (
        select min(d.discrepancy_id)
        from payout.discrepancies as d
        where d.payout_transfer_id = p_payout_transfer_id
            and d.kind = 'row_contradicts_facts'
            and d.resolved_at is null);
begin
    if v_discrepancy_id is null then
        insert into payout.discrepancies (kind, payout_transfer_id, ours, theirs, advice)
        select 'row_contradicts_facts', s.payout_transfer_id, to_jsonb(s),
            jsonb_build_object('error', p_error),
            'Its row and its facts contradict each other: compare them with '
            'payout_api.verify_projection(), and correct the row (docs/restore.md). It is not sent.'
        from payout.transfer_states as s
        where s.payout_transfer_id = p_payout_transfer_id
        returning discrepancy_id into strict v_discrepancy_id;
        perform payout.notify_operators(
            'row_contradicts_facts', 'transfer ' || p_payout_transfer_id, jsonb_build_object(
                'payout_transfer_id', p_payout_transfer_id, 'discrepancy_id', v_discrepancy_id));
    end if;
    -- Its hold may have been released too early.
    perform payout.stop_transfer(
        p_payout_transfer_id, 'row_contradicts_facts', v_discrepancy_id);
    -- The observation is that of a lease that ran out: nobody knows what became of the last send.
    begin
        with stopped as (
            update payout.transfer_states as s
            set state = case s.state when 'failed' then 'failed' else 'parked' end,
                lease_until = null,
                next_attempt_at = null,
                has_unknown_send = s.has_unknown_send or s.state = 'in_flight',
                reason = 'row_contradicts_facts',
                changed_at = payout.clock()
            where s.payout_transfer_id = p_payout_transfer_id
                and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'failed')
            returning s.*
        )
        insert into payout.transfer_observations (payout_transfer_id, generation, attempt, signal,
            verdict, moved_to, reason, has_unknown_send)
        select s.payout_transfer_id, s.generation, s.attempt, 'lease_expired',
            case s.state when 'failed' then 'alarm' else 'ok' end, nullif(s.state::text, 'failed'),
            s.reason, s.has_unknown_send
        from stopped as s;
    exception
        when integrity_constraint_violation or data_exception
            or sqlstate 'SP103' or sqlstate 'SP201' then
            raise log 'payout: transfer % cannot be parked: %', p_payout_transfer_id, sqlerrm;
    end;
end
$$;
comment on function payout.set_aside(bigint, text) is
    'Holds and parks a transfer, once, with a discrepancy row_contradicts_facts that names the '
    'error.';
