-- is_definite: test whether an attempt ended in an answer after which it can have no effect.
--
-- An answer that names no key (401, 403, most 429) may be a copy of another one.

create or replace function payout.is_definite(p_attempt payout.transfer_attempts)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from payout.transfer_observations as o
        join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
        where o.payout_transfer_id = p_attempt.payout_transfer_id
            and o.generation = p_attempt.generation
            and o.attempt = p_attempt.attempt
            and o.verdict = 'ok'
            and r.reaction in ('retry', 'pause', 'decline')
            and (o.signal = 'not_sent' or (o.facts ->> 'is_tied')::boolean)
    )
$$;
comment on function payout.is_definite(payout.transfer_attempts) is
    'True when nothing was sent, or an accepted answer that names the key says that the send '
    'had no effect, nor will have.';
