-- record_expiries: record that leases or keys ran out, and notify operators of parked transfers.
--
-- Called by: expire_leases, park_expired_keys; both hold the locks on the progress rows.

create or replace function payout.record_expiries(p_signal text, p_payout_transfer_ids bigint[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_recorded integer;
    v_parked_ids bigint[];
begin
    if p_payout_transfer_ids = '{}' then
        return 0;
    end if;
    select (count(*) filter (where r.verdict = 'ok'))::integer,
        array_agg(r.payout_transfer_id order by r.payout_transfer_id)
            filter (where r.verdict = 'ok' and r.state = 'parked')
    into v_recorded, v_parked_ids
    from payout.record_outcomes_apart(array(
        select jsonb_populate_record(null::payout.outcome, jsonb_build_object(
            'payout_transfer_id', s.payout_transfer_id,
            'generation', s.generation,
            'attempt', s.attempt,
            'signal', p_signal))
        from payout.transfer_states as s
        where s.payout_transfer_id = any (p_payout_transfer_ids))) as r;

    if v_parked_ids is not null then
        perform payout.notify_operators(
            'transfers_parked', cardinality(v_parked_ids) || ' by the sweep',
            jsonb_build_object('payout_transfer_ids', v_parked_ids[1:20]));
    end if;
    return v_recorded;
end
$$;
comment on function payout.record_expiries(text, bigint[]) is
    'Records lease_expired or key_expired, as p_signal says, for each of these transfers; returns '
    'how many.';
