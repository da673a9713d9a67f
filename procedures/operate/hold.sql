-- hold: stop sending, for the whole engine or for one currency, payee, settlement or transfer.
--
-- Called by: operator. Transfers that a worker holds already are still sent.
-- Safe to repeat: an open hold of the same scope and subject is returned.
-- Raises: SP313 a bad scope, a subject too many or missing, no reason; SP310 unknown subject.

create or replace function payout_api.hold(
    p_scope text, p_reason text, p_subject text default null
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean;
begin
    if p_scope is null or p_scope not in (
            'engine', 'currency', 'payee', 'settlement', 'transfer')
        or (p_scope = 'engine') <> (p_subject is null)
        or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot hold % % for reason %', coalesce(p_scope, 'null'),
            coalesce(p_subject, 'without subject'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Scopes: engine (no subject), currency, payee, settlement, transfer; give a '
                    'reason.';
    end if;
    v_exists := case p_scope
        when 'engine' then true
        when 'currency' then exists (
            select from payout.currencies as c where c.currency = p_subject)
        when 'payee' then exists (select from payout.payees as p where p.payee_id = p_subject)
        when 'settlement' then exists (
            select from payout.settlements as s where s.settlement_id = p_subject)
    end;
    if p_scope = 'transfer' then
        v_exists := exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id::text = p_subject
                and t.payout_transfer_id = case
                    when p_subject ~ '^[0-9]{1,18}$' then p_subject::bigint end);
    end if;
    if not v_exists then
        raise exception 'there is no % % to hold', p_scope, p_subject
            using
                errcode = 'SP310',
                hint = 'Currencies are written in lower case; look for the exact id.';
    end if;
    return payout.place_hold(p_scope, p_subject, p_reason);
end
$$;
comment on function payout_api.hold(text, text, text) is
    'Stops new sends of a scope (engine, currency, payee, settlement, transfer) until the hold is '
    'released.';
revoke execute on function payout_api.hold(text, text, text) from public;
grant execute on function payout_api.hold(text, text, text) to payout_operator;
