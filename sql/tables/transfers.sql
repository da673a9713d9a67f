-- transfers: the engine's side, from the payout job to Stripe's answer.
--
--   settlements ◀─1:1─ payout_jobs ◀── payout_transfers        one per settlement, payee and source
--                                        ▲    ▲    ▲    ▲
--                                        │    │    │    ├─ transfer_states (1:1, it moves)
--                                        │    │    │    └─ account_waits   (before an account)
--                                        │    │    └────── transfer_requests      each key
--                                        │    └─────────── transfer_attempts      each claim
--                                        └──────────────── transfer_observations  each observation
--
-- Keys between these are unique or derived by one function in one transaction, and no row is ever
-- deleted; foreign keys that would only look again at settling are left out (D-034).

create table payout.payout_jobs (
    payout_job_id bigint not null generated always as identity,
    settlement_id payout.external_id not null,
    created_at timestamptz not null default current_timestamp,
    constraint payout_jobs_pkey primary key (payout_job_id),
    constraint payout_jobs_settlement_id_key unique (settlement_id)
);
comment on table payout.payout_jobs is
    'One row for each completed settlement: its payout was scheduled.';

create trigger _500_refuse_change before update or delete on payout.payout_jobs
    for each row execute function payout.tg__refuse_change();
alter table payout.payout_jobs enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.payout_jobs
    for each statement execute function payout.tg__refuse_change();
alter table payout.payout_jobs enable always trigger _500_refuse_truncate;


create table payout.payout_transfers (
    payout_transfer_id bigint not null generated always as identity,
    payout_job_id bigint not null,
    settlement_id payout.external_id not null,
    payee_id payout.external_id not null,
    source_transaction text,
    amount_minor bigint not null,
    currency payout.currency_code not null,
    payout_ref text not null,
    created_at timestamptz not null default current_timestamp,
    constraint payout_transfers_pkey primary key (payout_transfer_id),
    constraint payout_transfers_settlement_id_payee_id_source_transaction_key
        unique nulls not distinct (settlement_id, payee_id, source_transaction),
    constraint payout_transfers_payout_ref_key unique (payout_ref)
);
comment on table payout.payout_transfers is
    'One Stripe transfer that is owed: payee, amount and source, frozen when the settlement was '
    'completed.';
comment on column payout.payout_transfers.amount_minor is
    'Sum of the lines it pays, in minor units of currency.';
comment on column payout.payout_transfers.payout_ref is
    'Business identity: payout.payout_ref(installation, settlement, payee, source_transaction). '
    'The idempotency key is payout_ref plus the key generation; Stripe stores it as metadata.';

create index payout_transfers_payee_id_idx on payout.payout_transfers (payee_id);

create trigger _110_derive
    before insert on payout.payout_transfers
    for each row
    execute function payout.tg_payout_transfers__derive();
alter table payout.payout_transfers enable always trigger _110_derive;
create trigger _500_refuse_change before update or delete on payout.payout_transfers
    for each row execute function payout.tg__refuse_change();
alter table payout.payout_transfers enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.payout_transfers
    for each statement execute function payout.tg__refuse_change();
alter table payout.payout_transfers enable always trigger _500_refuse_truncate;


create table payout.transfer_states (
    payout_transfer_id bigint not null,
    state payout.transfer_state not null default 'scheduled',
    generation integer not null default 1,
    attempt integer not null default 0,
    lease_until timestamptz,
    next_attempt_at timestamptz,
    stripe_transfer_id text,
    window_begins_at timestamptz,
    tries integer not null default 0,
    has_unknown_send boolean not null default false,
    reason text,
    wakeup_id bigint,
    changed_at timestamptz not null default current_timestamp,
    next_lookup_at timestamptz,
    hold_id bigint,
    constraint transfer_states_pkey primary key (payout_transfer_id)
) with (fillfactor = 70);
comment on table payout.transfer_states is
    'The progress of each transfer: the one table that changes while money moves. It can be '
    'rebuilt from attempts and observations.';
comment on column payout.transfer_states.generation is
    'The number of the idempotency key that counts, which is payout_ref plus this number.';
comment on column payout.transfer_states.attempt is
    'Number of the newest claim, over all generations; with generation and token the fence.';
comment on column payout.transfer_states.lease_until is
    'The time until which the claiming worker alone may send this transfer.';
comment on column payout.transfer_states.next_attempt_at is
    'The time at which the engine acts next by itself; null: it does not, or its payee has no '
    'account yet.';
comment on column payout.transfer_states.window_begins_at is
    'The time at which it was due for its first claim under the key; the send window begins then.';
comment on column payout.transfer_states.tries is
    'Claims of this generation that count against engine_settings.max_tries and lengthen the wait.';
comment on column payout.transfer_states.has_unknown_send is
    'True when some send of this generation may have been executed: then `surely not executed` '
    'about a later one settles nothing.';
comment on column payout.transfer_states.reason is 'The reason for its state, in one short phrase.';
comment on column payout.transfer_states.wakeup_id is
    'The wake-up job that was queued for it. No foreign key: the queue may be emptied at any time.';
comment on column payout.transfer_states.next_lookup_at is
    'The time of the next look-up at Stripe: while it is parked, before a new key, or before a '
    'late first send; null: none is planned.';
comment on column payout.transfer_states.hold_id is
    'An open hold under which a sweep found it due: it leaves the index of due transfers until '
    'that hold is released. Null does not mean that it is on no hold.';

-- Not of all rows: a settlement and a claim write none into it.
create unique index transfer_states_stripe_transfer_id_key
    on payout.transfer_states (stripe_transfer_id) where stripe_transfer_id is not null;
create index transfer_states_next_attempt_at_idx
    on payout.transfer_states (next_attempt_at)
    where next_attempt_at is not null and hold_id is null;
create index transfer_states_next_attempt_at_again_idx
    on payout.transfer_states (next_attempt_at)
    where next_attempt_at is not null and state in ('retry_wait', 'unknown', 'failed');
create index transfer_states_lease_until_idx
    on payout.transfer_states (lease_until) where lease_until is not null;
create index transfer_states_next_lookup_at_idx
    on payout.transfer_states (next_lookup_at) where next_lookup_at is not null;
create index transfer_states_hold_id_idx
    on payout.transfer_states (hold_id, next_attempt_at) where hold_id is not null;
create index transfer_states_changed_at_idx
    on payout.transfer_states (changed_at) where state in ('parked', 'failed');
create index transfer_states_undated_idx
    on payout.transfer_states (changed_at)
    where next_attempt_at is null and hold_id is null and lease_until is null
        and state in ('scheduled', 'in_flight', 'retry_wait', 'unknown');

create trigger _500_check_start
    before insert on payout.transfer_states
    for each row
    execute function payout.tg_transfer_states__check_start();
alter table payout.transfer_states enable always trigger _500_check_start;
create trigger _500_move
    before update on payout.transfer_states
    for each row
    -- No column list: it would miss a state that another trigger has set.
    when (old.state is distinct from new.state)
    execute function payout.tg_transfer_states__move();
alter table payout.transfer_states enable always trigger _500_move;
create trigger _500_refuse_delete before delete on payout.transfer_states
    for each row execute function payout.tg__refuse_change();
alter table payout.transfer_states enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.transfer_states
    for each statement execute function payout.tg__refuse_change();
alter table payout.transfer_states enable always trigger _500_refuse_truncate;
create trigger _511_check_progress
    before update on payout.transfer_states
    for each row
    execute function payout.tg_transfer_states__check_progress();
alter table payout.transfer_states enable always trigger _511_check_progress;
create trigger _900_tell_status
    after update on payout.transfer_states
    referencing old table as former new table as changed
    for each statement
    execute function payout.tg_transfer_states__tell_status();
alter table payout.transfer_states enable always trigger _900_tell_status;


create table payout.account_waits (
    payout_transfer_id bigint not null,
    payee_id payout.external_id not null,
    created_at timestamptz not null default now(),
    looks integer not null default 0,
    next_look_at timestamptz default now(),
    constraint account_waits_pkey primary key (payout_transfer_id),
    constraint account_waits_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id)
);
comment on table payout.account_waits is
    'The transfers that were scheduled before their payee had an account. The first account ends '
    'the wait; the sweep looks for one that came while the settlement was being scheduled.';
comment on column payout.account_waits.looks is 'Looks that found no account; each is rarer.';
comment on column payout.account_waits.next_look_at is
    'The time at which a sweep looks for an account; null: it waits no longer.';

create index account_waits_payee_id_idx
    on payout.account_waits (payee_id) where next_look_at is not null;
create index account_waits_next_look_at_idx
    on payout.account_waits (next_look_at) where next_look_at is not null;

create trigger _500_refuse_rewrite
    before update on payout.account_waits
    for each row
    -- Not as rows: a restored database would write the condition otherwise (the catalogue).
    when (old.payout_transfer_id is distinct from new.payout_transfer_id
        or old.payee_id is distinct from new.payee_id
        or old.created_at is distinct from new.created_at
        or old.next_look_at is null)
    execute function payout.tg__refuse_change();
alter table payout.account_waits enable always trigger _500_refuse_rewrite;
create trigger _500_refuse_delete before delete on payout.account_waits
    for each row execute function payout.tg__refuse_change();
alter table payout.account_waits enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.account_waits
    for each statement execute function payout.tg__refuse_change();
alter table payout.account_waits enable always trigger _500_refuse_truncate;


create table payout.transfer_attempts (
    payout_transfer_id bigint not null,
    generation integer not null,
    attempt integer not null,
    worker text not null,
    window_begins_at timestamptz not null,
    claimed_at timestamptz not null,
    lease_until timestamptz not null,
    claim_token_sha256 bytea not null,
    constraint transfer_attempts_pkey primary key (payout_transfer_id, attempt),
    constraint transfer_attempts_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint lease_ends_after_the_claim check (lease_until > claimed_at),
    constraint claim_token_has_a_digest check (octet_length(claim_token_sha256) = 32)
);
comment on table payout.transfer_attempts is
    'Every claim, committed before anything is sent under it.';
comment on column payout.transfer_attempts.window_begins_at is
    'The time from which the send window of its key is counted.';
comment on column payout.transfer_attempts.lease_until is
    'The time until which this claim held the transfer, unless it was reported before.';
comment on column payout.transfer_attempts.worker is 'The name the claiming process gave itself.';
comment on column payout.transfer_attempts.claim_token_sha256 is
    'SHA-256 of the secret that only this claim was told; a report without it is refused.';

create trigger _500_refuse_change before update or delete on payout.transfer_attempts
    for each row execute function payout.tg__refuse_change();
alter table payout.transfer_attempts enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.transfer_attempts
    for each statement execute function payout.tg__refuse_change();
alter table payout.transfer_attempts enable always trigger _500_refuse_truncate;


create table payout.transfer_observations (
    observation_id bigint not null generated always as identity,
    payout_transfer_id bigint not null,
    generation integer not null,
    attempt integer not null,
    signal text not null,
    verdict text not null,
    moved_to payout.transfer_state,
    reason text,
    error_rule_id integer,
    http_status integer,
    error_type text,
    error_code text,
    is_replayed boolean,
    stripe_transfer_id text,
    stripe_request_id text,
    facts jsonb not null default '{}',
    observed_at timestamptz not null default now(),
    is_counted_try boolean not null default false,
    has_unknown_send boolean not null default false,
    next_attempt_at timestamptz,
    constraint transfer_observations_pkey primary key (observation_id),
    constraint transfer_observations_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint signal_is_known check (signal in (
        'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired', 'key_expired',
        'looked_up', 'key_opened', 'retry', 'approve_absence', 'park', 'give_up', 'cancel',
        'settle_outside')),
    constraint verdict_is_known check (verdict in ('ok', 'already', 'stale', 'alarm')),
    constraint http_status_has_three_digits check (http_status between 0 and 999)
);
comment on table payout.transfer_observations is
    'Every answer, timeout, look-up, expiry, key and act of a transfer, accepted or not; a report '
    'of another claim is none. Insert-only.';
comment on column payout.transfer_observations.signal is
    'The kind of observation: a readable answer, an unreadable one, none, surely nothing sent, a '
    'lease or a key that expired, a look-up, another key, or an act of an operator.';
comment on column payout.transfer_observations.verdict is
    'ok: it counted; already: known before; stale: too late to count; alarm: an operator must '
    'look.';
comment on column payout.transfer_observations.moved_to is 'The state it led to; null: no move.';
comment on column payout.transfer_observations.facts is 'The other parts of the report.';
comment on column payout.transfer_observations.is_counted_try is
    'True: it counted against engine_settings.max_tries.';
comment on column payout.transfer_observations.has_unknown_send is
    'True: a send under the key may have been executed from then on.';
comment on column payout.transfer_observations.next_attempt_at is
    'The time for the next step, as decided then; null: not by itself.';

create index transfer_observations_payout_transfer_id_idx
    on payout.transfer_observations (payout_transfer_id, attempt);

create trigger _500_refuse_change before update or delete on payout.transfer_observations
    for each row execute function payout.tg__refuse_change();
alter table payout.transfer_observations enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.transfer_observations
    for each statement execute function payout.tg__refuse_change();
alter table payout.transfer_observations enable always trigger _500_refuse_truncate;


create table payout.transfer_requests (
    payout_transfer_id bigint not null,
    generation integer not null,
    destination text not null,
    request jsonb not null,
    request_sha256 bytea not null generated always as (payout.json_sha256(request)) stored,
    reason text,
    evidence_observation_id bigint,
    second_evidence_observation_id bigint,
    frozen_at timestamptz not null default now(),
    transfer_request_id bigint not null generated always as identity,
    constraint transfer_requests_pkey primary key (payout_transfer_id, generation),
    constraint transfer_requests_transfer_request_id_key unique (transfer_request_id),
    constraint transfer_requests_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint transfer_requests_evidence_observation_id_fkey
        foreign key (evidence_observation_id)
        references payout.transfer_observations (observation_id),
    constraint transfer_requests_second_evidence_observation_id_fkey
        foreign key (second_evidence_observation_id)
        references payout.transfer_observations (observation_id),
    constraint generation_counts_from_one check (generation >= 1),
    constraint destination_is_a_stripe_account check (starts_with(destination, 'acct_')),
    constraint request_names_the_destination check (
        request ->> 'destination' is not distinct from destination),
    constraint further_key_has_reason_and_evidence check (
        (generation > 1) = (reason is not null and evidence_observation_id is not null)),
    constraint evidence_comes_in_order
        check (second_evidence_observation_id > evidence_observation_id)
);
comment on table payout.transfer_requests is
    'The request under each idempotency key of a transfer, frozen by the first claim under that '
    'key, with the payee''s account of that moment.';
comment on column payout.transfer_requests.destination is 'The Stripe account that is paid.';
comment on column payout.transfer_requests.request is
    'The parameters of POST /v1/transfers, sent exactly as stored.';
comment on column payout.transfer_requests.request_sha256 is 'Digest of request.';
comment on column payout.transfer_requests.reason is
    'The reason why the former key was given up; null: this is the first.';
comment on column payout.transfer_requests.evidence_observation_id is
    'The accepted decline, or the act of two people, that closed the former generation; or the '
    'first scan of Stripe''s list that found nothing.';
comment on column payout.transfer_requests.second_evidence_observation_id is
    'The look at Stripe''s list after that, or the second scan; null where one scan of a '
    'transfer that never left was the evidence.';
comment on column payout.transfer_requests.transfer_request_id is
    'Number in the order in which requests were frozen, for seals.';

create trigger _500_refuse_change before update or delete on payout.transfer_requests
    for each row execute function payout.tg__refuse_change();
alter table payout.transfer_requests enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.transfer_requests
    for each statement execute function payout.tg__refuse_change();
alter table payout.transfer_requests enable always trigger _500_refuse_truncate;
