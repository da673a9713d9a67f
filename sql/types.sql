-- types: domains that keep the rules of single values, and the composite types of the engine.
--
-- A rule in a domain is read once a session; one in a check of a table is read anew for each
-- statement (D-033).

create domain payout.external_id as text
    -- The first half is true of nearly every id, and costs no call of a function.
    constraint id_fits check (
        (octet_length(value) <= 200 and value ~ '^[!-~]([ -~]*[!-~])?$') or payout.id_fits(value));
comment on domain payout.external_id is
    'A name given outside of the engine (settlement, payee, line): compared byte for byte, sent to '
    'Stripe as metadata, hence short and in one spelling only.';

create domain payout.currency_code as text
    constraint currency_is_three_lower_case_letters check (value ~ '^[a-z]{3}$');
comment on domain payout.currency_code is 'ISO 4217 code in lower case, as Stripe writes it.';

create domain payout.positive_minor as bigint
    constraint amount_is_positive check (value > 0);
comment on domain payout.positive_minor is 'An amount of money in minor units, above zero.';

create domain payout.moment as timestamptz
    constraint moment_has_a_year_of_four_digits
        check (extract(year from value at time zone 'UTC') between 1000 and 9998);
comment on domain payout.moment is
    'A point in time, not infinity; one outside of these years is a slip, and a program that reads '
    'it with others may read none of them.';

create domain payout.payout_status as text
    constraint status_is_known check (value in (
        'scheduled', 'waiting_for_account', 'sending', 'paid', 'on_hold', 'failed', 'cancelled',
        'settled_outside'));
comment on domain payout.payout_status is 'The application''s word for how far a transfer is.';

create domain payout.source_transaction_id as text
    constraint source_transaction_looks_like_one check (
        value ~ '^[A-Za-z0-9]+_[A-Za-z0-9_]+$' and length(value) <= 255)
    constraint source_transaction_is_a_charge_and_no_payment_intent check (value !~ '^pi_');
comment on domain payout.source_transaction_id is
    'Stripe''s id of a charge, such as ch_1; a payment intent has it in latest_charge.';

create domain payout.settlement_state as text
    constraint settlement_is_pending_or_complete check (value in ('pending', 'complete'));
comment on domain payout.settlement_state is 'pending: editable; complete: frozen and scheduled.';

-- A foreign key to payout.states would lock the same few rows in every transaction (D-003).
create domain payout.transfer_state as text
    constraint state_is_known check (value in (
        'scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked', 'failed', 'paid',
        'cancelled', 'settled_outside'));
comment on domain payout.transfer_state is 'A state out of payout.states.';

create type payout.outcome as (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    idempotency_key text,
    claim_token text,
    signal text,
    detail text,
    http_status integer,
    stripe_request_id text,
    is_tied boolean,
    is_replayed boolean,
    should_retry text,
    rate_limited_reason text,
    retry_after_seconds bigint,
    body jsonb,
    error_type text,
    error_code text,
    error_message text,
    error_param text,
    object text,
    stripe_transfer_id text,
    amount_minor bigint,
    currency text,
    destination text,
    is_livemode boolean,
    payout_ref text,
    belongs_to text,
    source_transaction text,
    payout_engine text,
    amount_reversed_minor bigint,
    read_id bigint,
    found integer,
    first_absence_id bigint,
    operator_action_id bigint
);
comment on type payout.outcome is
    'One outcome of a transfer: an answer to an attempt (an element of the array that '
    'report_outcomes takes, up to body; read_outcome reads what follows out of it), a look-up, a '
    'lease or a key that ran out, or an act of an operator (detail: the reference it names).';

create type payout.claim as (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    idempotency_key text,
    claim_token text,
    request jsonb,
    lease_seconds double precision,
    deadline_seconds double precision,
    send_in_seconds double precision,
    due_for_seconds double precision
);
comment on type payout.claim is 'A transfer that a worker is given, as claim_transfers returns it.';

create type payout.reported as (
    payout_transfer_id bigint,
    generation integer,
    attempt integer,
    verdict text,
    state text
);
comment on type payout.reported is 'The answer to one outcome, as report_outcomes returns it.';

create type payout.act_result as (
    payout_transfer_id bigint,
    settlement_id text,
    payee_id text,
    amount numeric,
    amount_minor bigint,
    currency text,
    state text,
    result text,
    detail text
);
comment on type payout.act_result is
    'The result of an act of an operator for a transfer: its amount in the currency itself and in '
    'minor units; its state now; result is done, already, refused, proposed (another person has to '
    'approve it) or preview (it would be done); detail says why, or what comes next.';

create type payout.judgement as (
    verdict text,
    to_state text,
    reason text,
    error_rule_id integer,
    next_attempt_at timestamptz,
    counts_as_try boolean,
    leaves_unknown boolean,
    is_alarm boolean,
    pauses_engine boolean
);
comment on type payout.judgement is
    'The meaning of one outcome for its transfer, as the judge_* functions give it.';

create type payout.stripe_transfer as (
    object text,
    stripe_transfer_id text,
    amount_minor bigint,
    amount_reversed_minor bigint,
    currency text,
    destination text,
    is_livemode boolean,
    source_transaction text,
    transfer_group text,
    payout_ref text,
    settlement_id text,
    payee_id text,
    payout_engine text,
    belongs_to text,
    created_at timestamptz,
    is_readable boolean
);
comment on type payout.stripe_transfer is
    'A transfer as Stripe shows it (read_stripe_transfer); null where a field is absent or cannot '
    'be read. payout_ref, settlement_id, payee_id and payout_engine stand in its metadata, which '
    'people can edit; belongs_to is the payout_ref that its group names, else its metadata, else '
    'settlement and payee. '
    'is_readable is false where a field that tells whose transfer it is cannot be read.';

create type payout.discrepancy as (
    kind text,
    payout_transfer_id bigint,
    stripe_transfer_id text,
    ours jsonb,
    theirs jsonb,
    not_ours_rule_id bigint
);
comment on type payout.discrepancy is
    'A disagreement of Stripe and the books about a transfer, before it is a discrepancy''s row; '
    'one of a transfer that is not ours by a rule never is.';
