-- check_requests: whether what is still to be sent says what its row says.
--
-- A row that was written while its guards were off may say one thing and ask Stripe for
-- another. What is paid has been compared with Stripe's answer.

create or replace function payout.check_requests()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with wrong as (
        select t.payout_transfer_id
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where s.state not in ('paid', 'cancelled')
            and ((t.payout_ref, t.request - 'metadata', t.request_sha256) <> (
                payout.payout_ref(t.settlement_id, t.payee_id, t.source_transaction),
                jsonb_build_object(
                    'amount', t.amount_minor, 'currency', t.currency,
                    'destination', t.destination,
                    case when t.source_transaction is null
                        then 'transfer_group' else 'source_transaction' end,
                    coalesce(t.source_transaction, t.payout_ref)),
                sha256(convert_to(t.request::text, 'UTF8')))
            or (t.request -> 'metadata' @> jsonb_build_object(
                'payout_ref', t.payout_ref, 'settlement_id', t.settlement_id,
                'payee_id', t.payee_id)) is not true)
    )
    select 'every request still to be sent says what its row says', count(*) = 0,
        format('%s do not%s', count(*), ', the first is of transfer ' || min(w.payout_transfer_id)),
        'payout_api.hold(''engine'', …); find out who wrote it while the guards were off'
    from wrong as w
$$;
comment on function payout.check_requests() is
    'Part of payout_api.doctor(): no transfer asks Stripe for something else than its row says.';
