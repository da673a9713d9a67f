-- count_use: count a transfer against the caps of its payee and of the engine.
--
-- Once for each key, at its first claim. One that Stripe declines stays counted.
-- Called by: within_caps, one claim at a time.

create or replace function payout.count_use(
    p_transfer payout.payout_transfers, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.cap_uses (scope, subject, currency, begun_at, amount_minor, transfers)
    select c.scope, case c.scope when 'payee' then p_transfer.payee_id::text else '' end,
        c.currency,
        date_trunc(case c.scope when 'payee' then 'day' else 'hour' end, p_now, 'UTC'),
        p_transfer.amount_minor, 1
    from payout.caps as c
    where c.currency = p_transfer.currency
        and c.scope <> 'transfer'
        and exists (
            select from payout.transfer_states as s
            where s.payout_transfer_id = p_transfer.payout_transfer_id
                and s.window_begins_at is null
        )
    on conflict (scope, currency, subject) do update
    set begun_at = excluded.begun_at,
        amount_minor = excluded.amount_minor
            + case when cap_uses.begun_at = excluded.begun_at then cap_uses.amount_minor else 0 end,
        transfers = 1
            + case when cap_uses.begun_at = excluded.begun_at then cap_uses.transfers else 0 end;
end
$$;
comment on function payout.count_use(payout.payout_transfers, timestamptz) is
    'Adds a transfer to cap_uses, if its present key was not used before.';
