-- knows_claim_token: tell whether a report names the secret that only its claim was told.
--
-- Any login of payout_worker may report; only the one that claimed knows the token. The database
-- keeps the digest, so that reading the tables tells no token.

create or replace function payout.knows_claim_token(p_outcome payout.outcome)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from payout.transfer_attempts as a
        where a.payout_transfer_id = p_outcome.payout_transfer_id
            and a.generation = p_outcome.generation
            and a.attempt = p_outcome.attempt
            and a.claim_token_sha256 = sha256(convert_to(p_outcome.claim_token, 'UTF8'))
    )
$$;
comment on function payout.knows_claim_token(payout.outcome) is
    'True when the token of the report is that of the attempt that it names.';
