-- read_listed_transfers: a page of Stripe's list of transfers as rows.
--
-- transfer_group names our transfer where it has the form of a payout_ref: unlike metadata it
-- cannot be edited, so a paid transfer is not sent again because its metadata are gone. A field
-- that cannot be read is null, and then differs from any transfer that is owed.

create or replace function payout.read_listed_transfers(
    p_reconcile_run_id bigint, p_transfers jsonb
)
returns setof payout.listed_transfers
language plpgsql
volatile
rows 100
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select
        t ->> 'id',
        case
            when t ->> 'transfer_group' ~ '^payout_[0-9a-f]{40}$' then t ->> 'transfer_group'
            else t #>> '{metadata,payout_ref}'
        end,
        case when t ->> 'amount' ~ '^[0-9]{1,18}$' then (t ->> 'amount')::bigint end,
        case
            when t ->> 'amount_reversed' ~ '^[0-9]{1,18}$' then (t ->> 'amount_reversed')::bigint
            else 0
        end,
        substring(t ->> 'currency' from '^[a-z]{3}$')::payout.currency_code,
        t ->> 'destination',
        case when jsonb_typeof(t -> 'livemode') = 'boolean' then (t -> 'livemode')::boolean end,
        t #>> '{metadata,payout_ref}',
        t #>> '{metadata,settlement_id}',
        to_timestamp((t ->> 'created')::double precision),
        p_reconcile_run_id,
        payout.clock()
    from jsonb_array_elements(p_transfers) as t;
end
$$;
comment on function payout.read_listed_transfers(bigint, jsonb) is
    'One row for each transfer; null where a field cannot be read.';
