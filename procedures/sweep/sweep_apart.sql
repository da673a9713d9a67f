-- sweep_apart: do one step of the sweep, and set aside the transfers that make it fail.
--
-- The usual way is one statement for all. If it raises, both halves are tried by themselves, and
-- so on, down to the one transfer whose rows contradict each other.

create or replace function payout.sweep_apart(
    p_step text, p_now timestamptz, p_limit integer, p_ids bigint[] default null
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_error text;
    v_half integer;
begin
    begin
        return case p_step
            when 'judge_listed_transfers' then
                payout.judge_listed_transfers(p_now, p_limit, p_ids)
            when 'expire_leases' then payout.expire_leases(p_now, p_limit, p_ids)
            when 'park_expired_keys' then payout.park_expired_keys(p_now, p_limit, p_ids)
            when 'reopen_failed' then payout.reopen_failed(p_now, p_limit, p_ids)
        end;
    exception
        when integrity_constraint_violation or data_exception
            or sqlstate 'SP103' or sqlstate 'SP201' then
            v_error := sqlerrm;
    end;

    if cardinality(p_ids) = 1 then
        perform payout.set_aside(p_ids[1], v_error);
        return 0;
    elsif p_ids is null then
        p_ids := array(
            select s.payout_transfer_id
            from payout.transfer_states as s
            where s.state = any (case p_step
                    when 'judge_listed_transfers' then array['scheduled', 'retry_wait', 'unknown']
                    when 'expire_leases' then array['in_flight']
                    when 'park_expired_keys' then array['retry_wait', 'unknown']
                    when 'reopen_failed' then array['failed']
                end)
                and (s.lease_until is not null or s.next_attempt_at is not null));
    end if;
    v_half := cardinality(p_ids) / 2;
    return payout.sweep_apart(p_step, p_now, p_limit, p_ids[:v_half])
        + payout.sweep_apart(p_step, p_now, p_limit, p_ids[v_half + 1:]);
end
$$;
comment on function payout.sweep_apart(text, timestamptz, integer, bigint[]) is
    'Runs the step that p_step names; returns how many transfers it moved. p_ids are those that it '
    'may take; null: all.';
