-- complete_settlement: record a whole settlement and schedule its payouts, in one call.
--
-- Called by: the application, or a trigger on a settlement table it already has.
-- Safe to repeat: the same content again returns the same job. The earnings of a payee without an
-- account wait for one.
-- Locks: the settlement's row; of concurrent calls one writes, the others wait and compare.
-- Raises: SP309 malformed lines; as lock_same_settlement and schedule_payout_job.

create or replace function payout_api.complete_settlement(
    p_settlement_id text,
    p_currency text,
    p_lines jsonb,
    p_pay_after timestamptz default null,
    p_metadata jsonb default null,
    p_register_payees boolean default false
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_settlement payout.settlements := row(
        p_settlement_id::payout.external_id, p_currency::payout.currency_code,
        null::payout.positive_minor, 'complete'::payout.settlement_state,
        p_pay_after::payout.moment, coalesce(p_metadata, '{}'::jsonb), current_timestamp
    )::payout.settlements;
    v_lines payout.settlement_lines[];
    v_line payout.settlement_lines;
    v_total_minor bigint := 0::bigint;
begin
    v_lines := payout.read_lines(v_settlement.settlement_id, p_lines);
    foreach v_line in array v_lines loop
        v_total_minor := v_total_minor + v_line.amount_minor;
    end loop;
    v_settlement.total_minor := v_total_minor;
    if p_register_payees then
        perform payout.register_payees(v_lines);
    end if;

    insert into payout.settlements
    values (v_settlement.*)
    on conflict (settlement_id) do nothing;

    if found then
        insert into payout.settlement_lines
        select l.*
        from unnest(v_lines) as l;
        return payout.schedule_payout_job(p_settlement_id, v_settlement,
            case when cardinality(v_lines) = 1 then v_lines[1] end);
    end if;

    perform payout.lock_same_settlement(
        p_settlement_id, p_currency, p_lines, p_pay_after, coalesce(p_metadata, '{}'));
    update payout.settlements as s
    set state = 'complete'
    where s.settlement_id = p_settlement_id
        and s.state = 'pending';

    return payout.schedule_payout_job(p_settlement_id);
end
$$;
comment on function payout_api.complete_settlement(
    text, text, jsonb, timestamptz, jsonb, boolean
) is
    'Records a settlement with its lines and schedules its payouts; returns the payout_job_id. '
    'Safe to repeat with the same content; amounts are in minor units of the currency. '
    'p_register_payees registers payees that are unknown, without an account.';
grant execute on function payout_api.complete_settlement(
    text, text, jsonb, timestamptz, jsonb, boolean
) to payout_app;
