-- sealed_rows_v1: the rows of a range of ids, each with its time and its digest.
--
-- A digest covers the columns named here and no others, as a JSON array of numbers, texts,
-- booleans and seconds since 1970: no setting of a session shows in it. Seals of version 1 rest
-- on this text: to cover a later column append it where it is not null, or differs from its
-- former value, so that older rows keep their digests; else write a v2.

create or replace function payout.sealed_rows_v1(
    p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer
)
returns table (row_id bigint, row_at timestamptz, row_sha256 bytea)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_table_name = 'ledger_entries' then
        return query
        select e.ledger_entry_id, e.created_at, payout.row_sha256(jsonb_build_array(
            e.ledger_entry_id, e.payout_transfer_id, e.kind, e.generation, e.debit_account,
            e.credit_account, e.amount_minor, e.currency, e.stripe_reversal_id,
            extract(epoch from e.created_at)::text))
        from payout.ledger_entries as e
        where e.ledger_entry_id between p_first_id and p_last_id
        order by e.ledger_entry_id limit p_limit;
    elsif p_table_name = 'transfer_observations' then
        return query
        select o.observation_id, o.observed_at, payout.row_sha256(jsonb_build_array(
            o.observation_id, o.payout_transfer_id, o.generation, o.attempt, o.signal, o.verdict,
            o.moved_to, o.reason, o.error_rule_id, o.http_status, o.error_type, o.error_code,
            o.is_replayed, o.stripe_transfer_id, o.stripe_request_id, o.facts, o.is_counted_try,
            o.has_unknown_send, extract(epoch from o.next_attempt_at)::text,
            extract(epoch from o.observed_at)::text))
        from payout.transfer_observations as o
        where o.observation_id between p_first_id and p_last_id
        order by o.observation_id limit p_limit;
    elsif p_table_name = 'transfer_requests' then
        return query
        select r.transfer_request_id, r.frozen_at, payout.row_sha256(jsonb_build_array(
            r.transfer_request_id, r.payout_transfer_id, r.generation, r.destination, r.request,
            encode(r.request_sha256, 'hex'), r.reason, r.evidence_observation_id,
            r.second_evidence_observation_id, extract(epoch from r.frozen_at)::text))
        from payout.transfer_requests as r
        where r.transfer_request_id between p_first_id and p_last_id
        order by r.transfer_request_id limit p_limit;
    elsif p_table_name = 'payout_transfers' then
        return query
        select t.payout_transfer_id, t.created_at, payout.row_sha256(jsonb_build_array(
            t.payout_transfer_id, t.payout_job_id, t.settlement_id, t.payee_id,
            t.source_transaction, t.amount_minor, t.currency, t.payout_ref,
            extract(epoch from t.created_at)::text))
        from payout.payout_transfers as t
        where t.payout_transfer_id between p_first_id and p_last_id
        order by t.payout_transfer_id limit p_limit;
    end if;
end
$$;
comment on function payout.sealed_rows_v1(text, bigint, bigint, integer) is
    'Up to p_limit rows of a table in a range of ids (inclusive), in order, with the SHA-256 that '
    'seals of version 1 cover.';
