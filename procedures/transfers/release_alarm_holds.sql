-- release_alarm_holds: end the holds of alarms that are resolved.
--
-- Called by: resolve_paid and finish_lookup, which have resolved them. A hold that a person
-- placed stays.
-- Locks: the holds' rows, skipping those that another session has locked.

create or replace function payout.release_alarm_holds(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold_ids bigint[];
begin
    v_hold_ids := array(
        select h.hold_id
        from unnest(p_payout_transfer_ids) as i (payout_transfer_id)
        join payout.holds as h on h.scope = 'transfer' and h.released_at is null
            and h.subject = i.payout_transfer_id::text
        where h.discrepancy_id is not null
            and not exists (
                select from payout.discrepancies as d
                where d.payout_transfer_id = i.payout_transfer_id and d.resolved_at is null
            )
        for update of h skip locked);

    perform payout.end_holds(v_hold_ids, 'engine', 'its alarms are resolved');
end
$$;
comment on function payout.release_alarm_holds(bigint[]) is
    'Releases the holds that alarms placed on these transfers, where none of them is open.';
