-- end_funds_wait: end the wait of a currency for funds at once.
--
-- Called by: an operator's act that says that there are funds.
-- Locks: the hold's row, then the transfers that wait (end_holds).

create or replace function payout.end_funds_wait(
    p_currency text, p_reason text default 'funds were added'
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.end_holds(
        array(
            select h.hold_id
            from payout.holds as h
            where h.scope = 'currency'
                and h.subject = p_currency
                and h.awaits = 'funds'
                and h.released_at is null
            for update),
        session_user, p_reason);
end
$$;
comment on function payout.end_funds_wait(text, text) is
    'Lets all transfers of a currency go on that wait for funds; nothing if none do.';
