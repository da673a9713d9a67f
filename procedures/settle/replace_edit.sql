-- replace_edit: let one discrepancy say how a settlement differs from its application's rows.
--
-- Called by: report_edit. No key makes it unique: another session would be waited for. Two edits
-- at once may leave two rows; the next one replaces both.
-- Locks: the open discrepancies of the settlement, skipping those that are locked.

create or replace function payout.replace_edit(p_ours jsonb, p_theirs jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_resolution text := case
        when p_ours = p_theirs then 'The application has it as it was settled.'
        else 'The application edited it again.'
    end;
begin
    with former as (
        select d.discrepancy_id
        from payout.discrepancies as d
        where d.kind = 'settlement_edited'
            and d.ours ->> 'settlement_id' = p_ours ->> 'settlement_id'
            and d.resolved_at is null
            and (d.ours, d.theirs) <> (p_ours, p_theirs)
        order by d.discrepancy_id
        for update skip locked
    ), resolved as (
        update payout.discrepancies as d
        set resolved_at = payout.clock(),
            resolved_by = 'engine',
            resolution = v_resolution
        from former as f
        where d.discrepancy_id = f.discrepancy_id
        returning d.discrepancy_id
    )
    insert into payout.operator_actions (action, subject, reason, details)
    select 'resolve_discrepancy', 'settlement_edited', v_resolution,
        jsonb_build_object('discrepancy_id', r.discrepancy_id)
    from resolved as r;

    insert into payout.discrepancies (kind, ours, theirs, advice)
    select k.kind, p_ours, p_theirs, k.advice
    from payout.discrepancy_kinds as k
    where k.kind = 'settlement_edited'
        and p_ours <> p_theirs
        and not exists (
            select from payout.discrepancies as d
            where d.kind = 'settlement_edited'
                and d.ours ->> 'settlement_id' = p_ours ->> 'settlement_id'
                and (d.ours, d.theirs) = (p_ours, p_theirs)
                and (d.resolved_at is null or d.resolved_by <> 'engine')
        );
end
$$;
comment on function payout.replace_edit(jsonb, jsonb) is
    'Resolves the open discrepancies settlement_edited of a settlement that say otherwise, and '
    'records this one, unless it is known or there is no difference.';
