-- is_saved: test whether Stripe gives the same answer to every later send under the key.
--
-- Stripe says so itself, whatever the code: it forbids another try, or it repeats an answer. Only
-- an answer that names our key says anything of it.

create or replace function payout.is_saved(
    p_is_tied boolean, p_is_replayed boolean, p_should_retry text
)
returns boolean
language sql
immutable
return coalesce(p_is_tied and (p_is_replayed or p_should_retry = 'false'), false);
comment on function payout.is_saved(boolean, boolean, text) is
    'True when an answer with Idempotency-Key (ours), Idempotent-Replayed and Stripe-Should-Retry '
    'as given is saved under its key.';
