-- payout_ref: the business identity of one transfer of one installation.
--
-- A hash, so that it is short and shows no name, over texts that carry their lengths, so that no
-- two identities are written alike. Never a serial: a promoted standby hands out serials again.

create or replace function payout.payout_ref(
    p_installation_id text, p_settlement_id text, p_payee_id text, p_source_transaction text
)
returns text
language sql
stable
return 'payout_' || left(encode(sha256(convert_to(
    format('%s,%s:%s,%s:%s,%s', p_installation_id,
        octet_length(p_settlement_id), p_settlement_id,
        octet_length(p_payee_id), p_payee_id, p_source_transaction),
    'UTF8')), 'hex'), 40);
comment on function payout.payout_ref(text, text, text, text) is
    'Identity of the transfer that an installation owes for a settlement to a payee from a source: '
    'payout_ and 40 hex digits.';
