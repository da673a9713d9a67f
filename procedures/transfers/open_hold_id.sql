-- open_hold_id: an open hold of a transfer, on its currency, payee, settlement or itself.
--
-- Each scope is one look into the index of open holds, however many there are.

create or replace function payout.open_hold_id(p_transfer payout.payout_transfers)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (select h.hold_id from payout.holds as h
            where h.released_at is null and h.scope = 'currency'
                and h.subject = p_transfer.currency limit 1),
        (select h.hold_id from payout.holds as h
            where h.released_at is null and h.scope = 'payee'
                and h.subject = p_transfer.payee_id limit 1),
        (select h.hold_id from payout.holds as h
            where h.released_at is null and h.scope = 'settlement'
                and h.subject = p_transfer.settlement_id limit 1),
        (select h.hold_id from payout.holds as h
            where h.released_at is null and h.scope = 'transfer'
                and h.subject = p_transfer.payout_transfer_id::text limit 1));
end
$$;
comment on function payout.open_hold_id(payout.payout_transfers) is
    'The hold_id, the widest scope first; null: it is not on hold. The engine''s hold is not '
    'looked at.';
