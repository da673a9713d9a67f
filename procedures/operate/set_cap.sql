-- set_cap: set the most that is handed out in a currency, or take it away.
--
-- Called by: operator.
-- Safe to repeat: the same cap again changes nothing.
-- Locks: the cap, for which claims wait; the waits for caps of the currency.
-- Raises: SP313 a bad scope or currency, a number that is none, no reason.

create or replace function payout_api.set_cap(
    p_scope text,
    p_currency text,
    p_reason text,
    p_amount_minor bigint default null,
    p_count integer default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_scope is null or p_scope not in ('transfer', 'payee', 'engine')
        or p_amount_minor < 0 or p_count < 0
        or (p_scope = 'transfer' and p_count is not null)
        or coalesce(btrim(p_reason), '') = ''
        or not exists (select from payout.currencies as c where c.currency = p_currency) then
        raise exception 'cannot set a cap of % in % for reason %', coalesce(p_scope, 'null'),
            coalesce(p_currency, 'null'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Scopes: transfer (an amount only), payee (a day), engine (an hour); no '
                    'amount or count: no such cap; give a reason.';
    end if;

    perform set_config('payout.reason', p_reason, true);
    insert into payout.caps (scope, currency, largest_amount_minor, largest_count)
    values (p_scope, p_currency, p_amount_minor, p_count)
    on conflict (scope, currency) do update
    set largest_amount_minor = excluded.largest_amount_minor,
        largest_count = excluded.largest_count
    where (caps.largest_amount_minor, caps.largest_count)
        is distinct from (excluded.largest_amount_minor, excluded.largest_count);
    perform set_config('payout.reason', '', true);

    update payout.holds as h
    set goes_on_at = payout.clock()
    where h.awaits = 'cap'
        and h.released_at is null
        and p_currency = case h.scope when 'currency' then h.subject else (
            select t.currency
            from payout.payout_transfers as t
            where t.payout_transfer_id = h.subject::bigint) end;
end
$$;
comment on function payout_api.set_cap(text, text, text, bigint, integer) is
    'Sets a cap: of a transfer, of a payee and day, or of the engine and hour, in minor units of a '
    'currency and in transfers; null takes it away. The next sweep ends the waits for caps of it.';
grant execute on function payout_api.set_cap(text, text, text, bigint, integer)
    to payout_operator;
