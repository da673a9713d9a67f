-- hold: stop sending, for the whole engine or for one currency, payee, settlement or transfer.
--
-- Called by: operator. Transfers that a worker holds already are still sent.
-- Safe to repeat: an open hold of the same scope and subject that lasts as long is returned, and
-- stays as it is, its reason as well, which is told; one that would end sooner gives way.
-- Raises: SP313 a bad scope, a subject too many or missing, no reason; SP310 unknown subject.

create or replace function payout_api.hold(
    p_scope text,
    p_reason text,
    p_subject text default null,
    p_until timestamptz default null
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean;
    v_hold_id bigint;
    v_reason text;
begin
    if p_scope is null or p_scope not in (
            'engine', 'currency', 'payee', 'settlement', 'transfer')
        or (p_scope = 'engine') <> (p_subject is null)
        or coalesce(btrim(p_reason), '') = '' or p_until <= payout.clock() then
        raise exception 'cannot hold % % for reason %', coalesce(p_scope, 'null'),
            coalesce(p_subject, 'without subject'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Scopes: engine (no subject), currency, payee, settlement, transfer; give a '
                    'reason; p_until lies in the future.';
    end if;
    -- A statement each: a hold on the engine waits for no lock on any of these tables.
    case p_scope
        when 'engine' then
            v_exists := true;
        when 'currency' then
            v_exists := exists (select from payout.currencies as c where c.currency = p_subject);
        when 'payee' then
            v_exists := exists (select from payout.payees as p where p.payee_id = p_subject);
        when 'settlement' then
            v_exists := exists (
                select from payout.settlements as s where s.settlement_id = p_subject);
        when 'transfer' then
            v_exists := p_subject ~ '^[1-9][0-9]{0,17}$' and exists (
                select from payout.payout_transfers as t
                where t.payout_transfer_id = p_subject::bigint);
    end case;
    if not v_exists then
        raise exception 'there is no % % to hold', p_scope, p_subject
            using
                errcode = 'SP310',
                hint = 'Currencies are written in lower case; look for the exact id.';
    end if;

    v_hold_id := payout.place_hold(p_scope, p_subject, p_reason, null, p_until);
    select h.reason into strict v_reason from payout.holds as h where h.hold_id = v_hold_id;
    if v_reason <> p_reason then
        raise notice 'hold % is there already, for reason %, which stays', v_hold_id,
            quote_literal(v_reason)
            using hint = 'Who releases it reads that reason alone: to give both, release it and '
                'hold anew, in one transaction.';
    end if;
    return v_hold_id;
end
$$;
comment on function payout_api.hold(text, text, text, timestamptz) is
    'Stops new sends of a scope (engine, currency, payee, settlement, transfer) until the hold is '
    'released, or until p_until; returns the hold.';
grant execute on function payout_api.hold(text, text, text, timestamptz) to payout_operator;
