-- approve_absence: let the engine take large transfers for absent at Stripe, on its own proof.
--
-- Called by: do_proposed, which has locked them. It proves nothing by itself: the engine looks each
-- one up once more, at once, and only then gives its key up. Its alarm asked for this decision, and
-- is resolved by it.

create or replace function payout.approve_absence(p_payout_transfer_ids bigint[], p_reason text)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.operator_actions (action, subject, reason, details)
    select 'approve_absence', s.payout_transfer_id::text, p_reason,
        jsonb_build_object('generation', s.generation)
    from payout.transfer_states as s
    where s.payout_transfer_id = any (p_payout_transfer_ids) and s.state = 'parked';
    perform payout_api.resolve_discrepancy(d.discrepancy_id, p_reason)
    from payout.discrepancies as d
    join payout.transfer_states as s on s.payout_transfer_id = d.payout_transfer_id
    where s.payout_transfer_id = any (p_payout_transfer_ids)
        and s.state = 'parked'
        and d.kind = 'absence_awaits_approval'
        and d.resolved_at is null;
    return query
    select * from payout.act('retry', p_payout_transfer_ids, p_reason, false);
end
$$;
comment on function payout.approve_absence(bigint[], text) is
    'Notes that these parked transfers may have a new key once the engine has proved them absent '
    'at Stripe, and has them looked up.';
