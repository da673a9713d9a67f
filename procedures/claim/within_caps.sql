-- within_caps: the transfers that no cap stops, counted; the others wait.
--
-- One by one, in the order in which they are due: a small one may pass where a large one waits. A
-- key that was used before was counted then.
-- Called by: claim_transfers, which holds the locks of the transfers, and of the caps, so that one
-- claim at a time counts.

create or replace function payout.within_caps(p_payout_transfer_ids bigint[], p_now timestamptz)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_transfer payout.payout_transfers;
    v_cap record;
    v_allowed_ids bigint[] := '{}'::bigint[];
begin
    if not exists (select from payout.caps) then
        return p_payout_transfer_ids;
    end if;

    for v_transfer in
        select t.*
        from unnest(p_payout_transfer_ids) with ordinality as i (payout_transfer_id, place)
        join payout.payout_transfers as t on t.payout_transfer_id = i.payout_transfer_id
        order by i.place
    loop
        select * into v_cap from payout.exceeded_cap(v_transfer, p_now);
        if not found then
            perform payout.count_use(v_transfer, p_now);
            v_allowed_ids := v_allowed_ids || v_transfer.payout_transfer_id;
            continue;
        end if;
        update payout.transfer_states as s
        set hold_id = payout.begin_wait(
            v_cap.hold_scope, v_cap.subject, v_cap.reason, 'cap', v_cap.goes_on_at,
            v_cap.notifies)
        where s.payout_transfer_id = v_transfer.payout_transfer_id;
    end loop;
    return v_allowed_ids;
end
$$;
comment on function payout.within_caps(bigint[], timestamptz) is
    'Returns those of the transfers that are within every cap, and lets the others wait.';
