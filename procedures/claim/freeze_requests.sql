-- freeze_requests: write the request of each key that is about to be used for the first time.
--
-- The payee's present account is paid; from then on the request under this key does not change. A
-- payee without one is not paid: the row is refused (23502), and the claim sets it aside.
-- An account that was changed since the claim chose its transfers is not paid before its wait: this
-- statement alone reads the account, so it looks for the wait as of the same moment.

create or replace function payout.freeze_requests(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.transfer_requests (
        payout_transfer_id, generation, destination, request, reason, evidence_observation_id,
        second_evidence_observation_id)
    select s.payout_transfer_id, s.generation, a.stripe_account_id,
        payout.transfer_request(t, a.stripe_account_id, m.metadata, e.installation_id), k.reason,
        (k.facts ->> 'evidence_observation_id')::bigint,
        (k.facts ->> 'second_evidence_observation_id')::bigint
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    join payout.settlements as m on m.settlement_id = t.settlement_id
    cross join payout.engine_settings as e
    left join lateral (
        select a.stripe_account_id
        from payout.payee_accounts as a
        where a.payee_id = t.payee_id
        order by a.payee_account_id desc
        limit 1
    ) as a on true
    left join payout.transfer_observations as k on s.generation > 1
        and k.payout_transfer_id = s.payout_transfer_id
        and k.generation = s.generation
        and k.signal = 'key_opened'
    where s.payout_transfer_id = any (p_payout_transfer_ids)
        and not exists (
            select from payout.transfer_requests as r
            where r.payout_transfer_id = s.payout_transfer_id and r.generation = s.generation
        )
        and not exists (
            select from payout.holds as h
            where h.scope = 'payee'
                and h.subject = t.payee_id::text
                and h.awaits = 'account_change'
                and h.released_at is null
        );
end
$$;
comment on function payout.freeze_requests(bigint[]) is
    'Writes transfer_requests for those of the transfers whose present key has none.';
