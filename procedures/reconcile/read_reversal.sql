-- read_reversal: a reversal out of Stripe's list of the reversals of a transfer.

create or replace function payout.read_reversal(p_object jsonb, p_stripe_transfer_id text)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('id', r.id, 'amount', r.amount_minor, 'currency', r.currency)
    from (
        select substring(payout.read_text(p_object -> 'id') from '^trr_[A-Za-z0-9_]+$'),
            payout.read_whole(p_object -> 'amount'), payout.read_text(p_object -> 'currency')
    ) as r (id, amount_minor, currency)
    where length(r.id) <= 255
        and r.amount_minor > 0
        and r.currency is not null
        and payout.read_text(p_object -> 'transfer') = p_stripe_transfer_id
$$;
comment on function payout.read_reversal(jsonb, text) is
    'Its id, amount and currency; null where it is no reversal of that transfer, or unreadable.';
