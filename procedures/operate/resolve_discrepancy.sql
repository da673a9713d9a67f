-- resolve_discrepancy: close a discrepancy with the reason that an operator gives.
--
-- Called by: operator. The row stays, and the same discrepancy is not recorded again.
-- Safe to repeat: a resolved discrepancy keeps its first resolution.
-- Locks: the discrepancy's row.
-- Raises: SP310 unknown discrepancy; SP313 no reason.

create or replace function payout_api.resolve_discrepancy(
    p_discrepancy_id bigint, p_reason text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kind text;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot resolve discrepancy % without a reason', p_discrepancy_id
            using
                errcode = 'SP313',
                hint = 'Name the cause, and the action that was taken.';
    end if;

    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = session_user,
        resolution = p_reason
    where d.discrepancy_id = p_discrepancy_id and d.resolved_at is null
    returning d.kind into v_kind;
    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('resolve_discrepancy', v_kind, p_reason,
            jsonb_build_object('discrepancy_id', p_discrepancy_id));
        return 'done';
    elsif exists (
        select from payout.discrepancies as d where d.discrepancy_id = p_discrepancy_id
    ) then
        return 'already';
    end if;
    raise exception 'discrepancy % does not exist', p_discrepancy_id
        using
            errcode = 'SP310',
            hint = 'select * from payout_api.discrepancies';
end
$$;
comment on function payout_api.resolve_discrepancy(bigint, text) is
    'Resolves a discrepancy with a reason: done, or already; it releases no hold and moves no '
    'money.';
grant execute on function payout_api.resolve_discrepancy(bigint, text) to payout_operator;
