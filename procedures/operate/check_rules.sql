-- check_rules: the open transfers of a range that break a rule, written with their guards off.
--
-- Checks only transfers that may still be sent: a paid one was compared with Stripe's answer; one
-- that is cancelled, or settled outside, is not sent.

create or replace function payout.check_rules(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with open_transfers as (
        select s as progress, t as transfer, t.*
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.state not in ('paid', 'cancelled', 'settled_outside')
            and s.payout_transfer_id between p_from and p_to
            and t.payout_transfer_id between p_from and p_to
    )
    select w.rule, 'transfer ' || w.id,
        'payout_api.hold(''engine'', …); find out who wrote it while the guards were off'
    from (
        select 'every request still to be sent agrees with its row', o.payout_transfer_id
        from open_transfers as o
        join payout.settlements as m on m.settlement_id = o.settlement_id
        cross join payout.engine_settings as e
        left join payout.transfer_requests as r on r.payout_transfer_id = o.payout_transfer_id
            and r.generation = (o.progress).generation
        where o.amount_minor <= 0
            or o.payout_ref <> payout.payout_ref(
                e.installation_id, o.settlement_id, o.payee_id, o.source_transaction)
            or r.request <> payout.transfer_request(
                o.transfer, r.destination, m.metadata, e.installation_id)
            or ((o.progress).window_begins_at is not null and r.request is null)
        union all
        select 'every transfer that is not paid can go on', o.payout_transfer_id
        from open_transfers as o
        where payout.progress_problem(o.progress) is not null
            or case (o.progress).reason
                -- Else neither an account nor a sweep gives it its date.
                when 'awaiting_account' then not exists (
                    select from payout.account_waits as w
                    where w.payout_transfer_id = o.payout_transfer_id
                        and w.next_look_at is not null
                )
                else (o.progress).next_attempt_at is not null and not exists (
                    select from payout.payee_accounts as a where a.payee_id = o.payee_id
                )
            end
    ) as w (rule, id)
$$;
comment on function payout.check_rules(bigint, bigint) is 'Part of payout_api.verify_books().';
