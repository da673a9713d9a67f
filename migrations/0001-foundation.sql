-- 0001-foundation: roles, schemas, tables with their keys and checks, and the guards (05A)

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

-- frozen: sql/roles.sql dc81a67fe414
-- roles: the five group roles of the engine; none of them can log in.
--
-- Grant them to logins of your own: `grant payout_worker to my_worker_login`.
-- Roles belong to the cluster, so they are made once and outlive a revert.

do $$
declare
    v_role text;
begin
    foreach v_role in array array[
        'payout_owner', 'payout_app', 'payout_worker', 'payout_operator', 'payout_auditor'
    ]
    loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = v_role) then
            execute format('create role %I nologin', v_role);
        end if;
    end loop;

    -- Only a member may hand objects to payout_owner; a superuser needs no membership.
    if not pg_catalog.pg_has_role(current_user, 'payout_owner', 'member') then
        execute format('grant payout_owner to %I', current_user);
    end if;
end
$$;

comment on role payout_owner is 'Owns every object of the payout engine; nobody logs in as it.';
comment on role payout_app is 'The marketplace: registers payees, inserts and completes settlements.';
comment on role payout_worker is 'The process that talks to Stripe: claims transfers, reports outcomes.';
comment on role payout_operator is 'People on call: hold, release and the other calls with a reason.';
comment on role payout_auditor is 'Reads everything, changes nothing.';
-- end frozen: sql/roles.sql

create schema payout authorization payout_owner;
comment on schema payout is
    'Private: tables, guards and the functions behind payout_api. The queue is only a doorbell; '
    'these tables are the truth.';
create schema payout_api authorization payout_owner;
comment on schema payout_api is
    'Everything that may be called: by the application, the worker, operators and auditors.';

grant usage on schema payout to payout_app, payout_operator, payout_auditor;
grant usage on schema payout_api to payout_app, payout_worker, payout_operator, payout_auditor;

alter default privileges for role payout_owner revoke execute on functions from public;

-- A caller who may create temporary objects could put them in front of a name.
do $$
begin
    execute format('revoke temporary on database %I from public', current_database());
end
$$;

set local role payout_owner;

create domain payout.external_id as text
    constraint id_is_1_to_200_characters check (length(value) between 1 and 200)
    constraint id_has_no_control_characters check (value !~ '[\x01-\x1f\x7f-\x9f]')
    constraint id_has_no_blank_at_its_ends check (
        value !~ '^[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]'
        and value !~ '[ \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]$')
    constraint id_is_in_unicode_normal_form_c check (value is nfc normalized);
comment on domain payout.external_id is
    'A name given outside of the engine (settlement, payee, line): compared byte for byte, sent to '
    'Stripe as metadata, hence short and in one spelling only.';

create domain payout.currency_code as text
    constraint currency_is_three_lower_case_letters check (value ~ '^[a-z]{3}$');
comment on domain payout.currency_code is 'ISO 4217 code in lower case, as Stripe writes it.';

-- A foreign key to payout.states would lock the same few rows in every transaction.
create domain payout.transfer_state as text
    constraint state_is_known check (value in (
        'scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked', 'failed', 'paid', 'cancelled'));
comment on domain payout.transfer_state is 'A state out of payout.states.';

-- Lists -----------------------------------------------------------------------------------------

create table payout.currencies (
    currency payout.currency_code not null,
    minor_digits smallint not null,
    amount_step integer not null default 1,
    largest_amount_minor bigint not null default 99999999,
    constraint currencies_pkey primary key (currency),
    constraint minor_digits_are_0_2_or_3 check (minor_digits in (0, 2, 3)),
    constraint amount_step_is_a_power_of_ten check (amount_step in (1, 10, 100)),
    constraint largest_amount_is_positive check (largest_amount_minor > 0)
);
comment on table payout.currencies is
    'The currencies Stripe transfers and how it counts them (docs.stripe.com/currencies).';
comment on column payout.currencies.minor_digits is
    'Decimal places between the currency and its minor unit: 2 for usd, 0 for jpy, 3 for kwd.';
comment on column payout.currencies.amount_step is
    'An amount must be a multiple of this: 10 for three-decimal currencies, 100 for isk and ugx.';
comment on column payout.currencies.largest_amount_minor is
    'The most that one transfer may carry, in minor units.';

insert into payout.currencies (currency, minor_digits)
select unnest(string_to_array(
    'aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad '
    'cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl '
    'htg huf idr ils inr jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur '
    'mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd '
    'scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd yer '
    'zar zmw', ' ')), 2;
insert into payout.currencies (currency, minor_digits)
select unnest(string_to_array('bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf', ' ')), 0;
insert into payout.currencies (currency, minor_digits, amount_step)
select unnest(string_to_array('bhd jod kwd omr tnd', ' ')), 3, 10;
insert into payout.currencies (currency, minor_digits, amount_step) values
    ('isk', 2, 100),
    ('ugx', 2, 100);
update payout.currencies set largest_amount_minor = 999999999999 where currency = 'idr';

create table payout.states (
    state text not null,
    is_final boolean not null,
    whose_turn text not null,
    meaning text not null,
    constraint states_pkey primary key (state),
    constraint turn_is_of_a_known_party
        check (whose_turn in ('engine', 'stripe', 'operator', 'nobody'))
);
comment on table payout.states is 'The states of a transfer, each with its meaning.';
comment on column payout.states.is_final is 'True when no move leads out of the state.';
comment on column payout.states.whose_turn is 'Who acts next while a transfer stands here.';

insert into payout.states (state, is_final, whose_turn, meaning) values
    ('scheduled', false, 'engine', 'Owed and reserved; Stripe has not been asked under this key.'),
    ('in_flight', false, 'stripe', 'A worker holds the lease and may be talking to Stripe.'),
    ('retry_wait', false, 'engine', 'Surely not executed; asked again when due, with the same key.'),
    ('unknown', false, 'engine', 'Perhaps executed; asked again when due, with the same key only.'),
    ('parked', false, 'operator', 'The engine must not go on by itself; the reason says why.'),
    ('failed', false, 'operator', 'Stripe declined; the money is back in the payee''s account here.'),
    ('paid', true, 'nobody', 'Stripe holds exactly this transfer.'),
    ('cancelled', true, 'nobody', 'Withdrawn before Stripe was ever asked.');

create table payout.state_edges (
    from_state text not null,
    to_state text not null,
    why text not null,
    constraint state_edges_pkey primary key (from_state, to_state),
    constraint state_edges_from_state_fkey foreign key (from_state) references payout.states (state),
    constraint state_edges_to_state_fkey foreign key (to_state) references payout.states (state),
    constraint edge_leads_elsewhere check (from_state <> to_state)
);
comment on table payout.state_edges is
    'The only moves a transfer may make; a guard on transfer_states holds everybody to them.';

insert into payout.state_edges (from_state, to_state, why) values
    ('scheduled', 'in_flight', 'claimed by a worker'),
    ('scheduled', 'cancelled', 'withdrawn before any attempt'),
    ('scheduled', 'parked', 'Stripe reported a success under another key'),
    ('retry_wait', 'in_flight', 'claimed again, same key'),
    ('retry_wait', 'paid', 'a late success'),
    ('retry_wait', 'parked', 'an answer that contradicts the row, or the key is too old to be sent'),
    ('unknown', 'in_flight', 'claimed again, same key'),
    ('unknown', 'paid', 'a late success, or found at Stripe'),
    ('unknown', 'parked', 'an answer that contradicts the row, or the key is too old to be sent'),
    ('unknown', 'failed', 'proved absent at Stripe'),
    ('in_flight', 'paid', 'Stripe made the transfer'),
    ('in_flight', 'failed', 'a decline saved under the key, no other attempt open'),
    ('in_flight', 'retry_wait', 'surely not executed'),
    ('in_flight', 'unknown', 'no certain answer, or the lease ran out'),
    ('in_flight', 'parked', 'a person must look, or the attempts are used up'),
    ('parked', 'paid', 'a late success, or found at Stripe'),
    ('parked', 'failed', 'proved absent at Stripe'),
    ('failed', 'scheduled', 'a new key, by rule K');

create table payout.ledger_accounts (
    account text not null,
    is_per_payee boolean not null,
    meaning text not null,
    constraint ledger_accounts_pkey primary key (account)
);
comment on table payout.ledger_accounts is
    'The chart of accounts. `payable` has one sub-account a payee, written payable:<payee_id>.';

insert into payout.ledger_accounts (account, is_per_payee, meaning) values
    ('settlement_funds', false, 'What settlements have assigned to payees; its debit is all ever owed.'),
    ('payable', true, 'What the marketplace owes a payee and has not begun to send.'),
    ('in_flight', false, 'Reserved for transfers that are neither paid nor given up.'),
    ('stripe_balance', false, 'What Stripe has moved out of the platform''s balance.');

-- What the application says -----------------------------------------------------------------------

create table payout.payees (
    payee_id payout.external_id not null,
    created_at timestamptz not null default now(),
    constraint payees_pkey primary key (payee_id)
);
comment on table payout.payees is 'Who can be owed money. Never changed, never deleted.';

create table payout.payee_accounts (
    payee_account_id bigint not null generated always as identity,
    payee_id payout.external_id not null,
    stripe_account_id text not null,
    recorded_at timestamptz not null default now(),
    recorded_by text not null default session_user,
    constraint payee_accounts_pkey primary key (payee_account_id),
    constraint payee_accounts_payee_id_fkey foreign key (payee_id) references payout.payees (payee_id),
    constraint stripe_account_id_looks_like_one check (
        stripe_account_id ~ '^acct_[A-Za-z0-9_]+$' and length(stripe_account_id) <= 255)
);
comment on table payout.payee_accounts is
    'Which Stripe account a payee is paid to, as history: the newest row counts for settlements '
    'completed from then on; transfers already scheduled keep the account they were given.';
create index payee_accounts_payee_id_idx
    on payout.payee_accounts (payee_id, payee_account_id desc) include (stripe_account_id);

create table payout.settlements (
    settlement_id payout.external_id not null,
    currency payout.currency_code not null,
    total_minor bigint not null,
    state text not null default 'pending',
    pay_after timestamptz,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default now(),
    constraint settlements_pkey primary key (settlement_id),
    constraint total_is_positive check (total_minor > 0),
    constraint settlement_is_pending_or_complete check (state in ('pending', 'complete')),
    constraint pay_after_is_a_moment check (isfinite(pay_after)),
    constraint metadata_is_an_object check (jsonb_typeof(metadata) = 'object')
);
comment on table payout.settlements is
    'What the marketplace settled with its payees. Editable while pending, frozen once complete; '
    'completing it schedules its payouts in the same transaction.';
comment on column payout.settlements.total_minor is
    'Sum of the lines in minor units of the currency; the commit fails if they differ.';
comment on column payout.settlements.pay_after is 'Nothing is sent before this time; null: at once.';
comment on column payout.settlements.metadata is
    'Text values copied into the metadata of each Stripe transfer, within Stripe''s limits.';

create table payout.settlement_lines (
    settlement_id payout.external_id not null,
    line_id payout.external_id not null,
    payee_id payout.external_id not null,
    amount_minor bigint not null,
    source_transaction text,
    constraint settlement_lines_pkey primary key (settlement_id, line_id),
    constraint settlement_lines_settlement_id_fkey
        foreign key (settlement_id) references payout.settlements (settlement_id)
        deferrable initially deferred,
    constraint amount_is_positive check (amount_minor > 0),
    constraint source_transaction_looks_like_one
        check (source_transaction ~ '^[A-Za-z0-9]+_[A-Za-z0-9_]+$'
            and length(source_transaction) <= 255)
);
comment on table payout.settlement_lines is
    'What a settlement owes to whom. Lines of one payee and source_transaction become one transfer.';
comment on column payout.settlement_lines.amount_minor is
    'Amount in the smallest unit of the settlement''s currency (cents for usd, yen for jpy).';
comment on column payout.settlement_lines.source_transaction is
    'Stripe charge that funds the line; null: the platform''s available balance.';

create table payout.lines_ahead (
    settlement_id payout.external_id not null,
    constraint lines_ahead_pkey primary key (settlement_id)
);
comment on table payout.lines_ahead is
    'Settlements whose lines came first, while their transaction runs; empty for everybody else. '
    'At commit each is checked: the settlement must be of the same transaction or still pending.';

-- What the engine makes of it -----------------------------------------------------------------------

create table payout.payout_jobs (
    payout_job_id bigint not null generated always as identity,
    settlement_id payout.external_id not null,
    created_at timestamptz not null default now(),
    constraint payout_jobs_pkey primary key (payout_job_id),
    constraint payout_jobs_settlement_id_key unique (settlement_id),
    constraint payout_jobs_settlement_id_fkey
        foreign key (settlement_id) references payout.settlements (settlement_id)
);
comment on table payout.payout_jobs is 'One row for each completed settlement: its payout was scheduled.';

create table payout.payout_transfers (
    payout_transfer_id bigint not null generated always as identity,
    payout_job_id bigint not null,
    settlement_id payout.external_id not null,
    payee_id payout.external_id not null,
    source_transaction text,
    destination text not null,
    amount_minor bigint not null,
    currency payout.currency_code not null,
    payout_ref text not null,
    request jsonb not null,
    request_sha256 bytea not null generated always as (
        sha256(replace(request::text, '\', '\\')::bytea)
    ) stored,
    created_at timestamptz not null default now(),
    constraint payout_transfers_pkey primary key (payout_transfer_id),
    constraint payout_transfers_settlement_id_payee_id_source_transaction_key
        unique nulls not distinct (settlement_id, payee_id, source_transaction),
    constraint payout_transfers_payout_ref_key unique (payout_ref),
    constraint payout_transfers_payout_job_id_fkey
        foreign key (payout_job_id) references payout.payout_jobs (payout_job_id),
    constraint payout_transfers_payee_id_fkey
        foreign key (payee_id) references payout.payees (payee_id),
    constraint amount_is_positive check (amount_minor > 0),
    constraint destination_is_a_stripe_account check (destination ~ '^acct_')
);
comment on table payout.payout_transfers is
    'One Stripe transfer that is owed: who, how much, to which account, and the request as it will '
    'be sent, frozen when the settlement was completed.';
comment on column payout.payout_transfers.amount_minor is
    'Sum of the lines it pays, in minor units of currency.';
comment on column payout.payout_transfers.payout_ref is
    'Business identity: payout.payout_ref(settlement, payee, source_transaction). '
    'The idempotency key is payout_ref plus the key generation; Stripe stores it as metadata.';
comment on column payout.payout_transfers.request is
    'Parameters of POST /v1/transfers, sent exactly as they stand here.';
comment on column payout.payout_transfers.request_sha256 is 'Digest of request, made by the database.';

create table payout.transfer_states (
    payout_transfer_id bigint not null,
    state payout.transfer_state not null default 'scheduled',
    generation integer not null default 1,
    attempt integer not null default 0,
    lease_until timestamptz,
    next_attempt_at timestamptz,
    stripe_transfer_id text,
    first_sent_at timestamptz,
    tries integer not null default 0,
    has_unknown_send boolean not null default false,
    reason text,
    doorbell_id bigint,
    changed_at timestamptz not null default now(),
    constraint transfer_states_pkey primary key (payout_transfer_id),
    constraint transfer_states_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint transfer_states_stripe_transfer_id_key unique (stripe_transfer_id),
    constraint generation_counts_from_one check (generation >= 1),
    constraint attempt_counts_from_zero check (attempt >= 0),
    constraint tries_count_from_zero check (tries >= 0),
    constraint cancelled_was_never_attempted check (state <> 'cancelled' or attempt = 0),
    constraint only_in_flight_has_a_lease check ((state = 'in_flight') = (lease_until is not null)),
    constraint in_flight_has_been_sent check (state <> 'in_flight' or first_sent_at is not null),
    constraint paid_names_its_transfer check ((state = 'paid') = (stripe_transfer_id is not null)),
    constraint waiting_names_its_next_attempt
        check (state not in ('scheduled', 'retry_wait', 'unknown') or next_attempt_at is not null),
    constraint resting_has_no_next_attempt
        check (state not in ('in_flight', 'parked', 'paid', 'cancelled') or next_attempt_at is null),
    constraint parked_and_failed_say_why
        check (state not in ('parked', 'failed') or reason is not null)
) with (fillfactor = 70);
comment on table payout.transfer_states is
    'How far each transfer has come: the one table that changes while money moves. It can be '
    'rebuilt from attempts, observations and key generations.';
comment on column payout.transfer_states.generation is
    'Which idempotency key counts: payout_ref plus this number.';
comment on column payout.transfer_states.attempt is
    'Number of the newest claim, over all generations; with generation the fence for reports.';
comment on column payout.transfer_states.lease_until is
    'Until when the claiming worker alone may talk to Stripe about this transfer.';
comment on column payout.transfer_states.next_attempt_at is
    'When the engine acts next by itself; null: it does not.';
comment on column payout.transfer_states.first_sent_at is
    'First claim under the key of this generation; Stripe forgets the key 24 hours later.';
comment on column payout.transfer_states.tries is
    'Claims of this generation that count against engine_settings.max_tries and lengthen the wait.';
comment on column payout.transfer_states.has_unknown_send is
    'True when some send of this generation may have been executed: then `surely not executed` '
    'about a later one settles nothing.';
comment on column payout.transfer_states.reason is 'Why it stands here, in one short phrase.';
comment on column payout.transfer_states.doorbell_id is
    'The queue job that was deferred to wake a worker for it. No foreign key: the queue may be '
    'emptied at any time.';
create index transfer_states_next_attempt_at_idx
    on payout.transfer_states (next_attempt_at) where next_attempt_at is not null;
create index transfer_states_next_attempt_at_again_idx
    on payout.transfer_states (next_attempt_at)
    where next_attempt_at is not null and state in ('retry_wait', 'unknown', 'failed');
create index transfer_states_lease_until_idx
    on payout.transfer_states (lease_until) where lease_until is not null;

create table payout.transfer_attempts (
    payout_transfer_id bigint not null,
    generation integer not null,
    attempt integer not null,
    worker text not null,
    claimed_at timestamptz not null,
    lease_until timestamptz not null,
    constraint transfer_attempts_pkey primary key (payout_transfer_id, attempt),
    constraint transfer_attempts_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint lease_ends_after_the_claim check (lease_until > claimed_at)
);
comment on table payout.transfer_attempts is
    'Every claim, committed before anything is sent under it.';
comment on column payout.transfer_attempts.lease_until is
    'Until when this claim held the transfer, unless it was reported before.';
comment on column payout.transfer_attempts.worker is 'The name the claiming process gave itself.';

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
    constraint transfer_observations_pkey primary key (observation_id),
    constraint transfer_observations_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint signal_is_known check (signal in (
        'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired', 'key_expired')),
    constraint verdict_is_known check (verdict in ('ok', 'already', 'stale', 'alarm')),
    constraint http_status_has_three_digits check (http_status between 0 and 999)
);
comment on table payout.transfer_observations is
    'Everything seen of a transfer: answers, timeouts, leases that ran out; accepted or not.';
comment on column payout.transfer_observations.signal is
    'What was seen: a readable answer, an unreadable one, none, surely nothing sent, a lease or a '
    'key that expired.';
comment on column payout.transfer_observations.verdict is
    'ok: it counted; already: known before; stale: too late to count; alarm: a person must look.';
comment on column payout.transfer_observations.moved_to is 'The state it led to; null: no move.';
comment on column payout.transfer_observations.facts is 'The rest of what the worker reported.';
create index transfer_observations_payout_transfer_id_idx
    on payout.transfer_observations (payout_transfer_id, attempt);

create table payout.key_generations (
    payout_transfer_id bigint not null,
    generation integer not null,
    reason text not null,
    evidence_observation_id bigint not null,
    opened_by text not null default session_user,
    opened_at timestamptz not null default now(),
    constraint key_generations_pkey primary key (payout_transfer_id, generation),
    constraint key_generations_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint key_generations_evidence_observation_id_fkey
        foreign key (evidence_observation_id) references payout.transfer_observations (observation_id),
    constraint first_key_needs_no_reason check (generation >= 2)
);
comment on table payout.key_generations is
    'Why a second idempotency key was ever allowed for a transfer, and on what evidence (rule K).';
comment on column payout.key_generations.evidence_observation_id is
    'The accepted decline, saved under the former key, that closed the former generation.';

-- The books ------------------------------------------------------------------------------------------

create table payout.ledger_entries (
    ledger_entry_id bigint not null generated always as identity,
    payout_transfer_id bigint not null,
    kind text not null,
    generation integer not null,
    debit_account text not null,
    credit_account text not null,
    amount_minor bigint not null,
    currency payout.currency_code not null,
    stripe_reversal_id text,
    created_at timestamptz not null default now(),
    constraint ledger_entries_pkey primary key (ledger_entry_id),
    constraint ledger_entries_payout_transfer_id_kind_generation_reversal_key
        unique nulls not distinct (payout_transfer_id, kind, generation, stripe_reversal_id),
    constraint ledger_entries_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint amount_is_positive check (amount_minor > 0),
    constraint only_reversals_name_a_reversal
        check ((kind = 'reversal') = (stripe_reversal_id is not null)),
    constraint obligation_is_of_the_first_generation check (kind <> 'obligation' or generation = 1)
);
comment on table payout.ledger_entries is
    'Double-entry books: each row moves an amount from one account to another, so it balances by '
    'construction. Insert-only.';
comment on column payout.ledger_entries.amount_minor is 'In minor units of currency, always positive.';
comment on column payout.ledger_entries.kind is
    'obligation: owed; reserve: set aside for sending; paid: Stripe moved it; release: back to the '
    'payee''s account here; reversal: Stripe took it back.';
comment on column payout.ledger_entries.stripe_reversal_id is
    'Stripe''s trr_ id, for kind reversal only: each reversal is booked once.';
create unique index ledger_entries_stripe_reversal_id_key
    on payout.ledger_entries (stripe_reversal_id) where stripe_reversal_id is not null;
create index ledger_entries_created_at_idx on payout.ledger_entries using brin (created_at);

-- Reactions, people, findings -------------------------------------------------------------------------

create table payout.stripe_error_rules (
    error_rule_id integer not null,
    signal text not null,
    http_status_from integer,
    http_status_to integer,
    error_type text,
    error_code text,
    is_replayed boolean,
    should_retry text,
    is_rate_limited boolean,
    reaction text not null,
    is_saved boolean not null default false,
    is_alarm boolean not null default false,
    wait_at_least interval not null default '0',
    wait_base interval not null default '1 second',
    wait_cap interval not null default '15 minutes',
    reason text not null,
    advice text not null,
    constraint stripe_error_rules_pkey primary key (error_rule_id),
    constraint signal_is_known check (signal in (
        'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired', 'key_expired')),
    constraint status_range_is_whole check (
        (http_status_from is null) = (http_status_to is null) and http_status_from <= http_status_to),
    constraint should_retry_is_stripes_header check (should_retry in ('true', 'false')),
    constraint reaction_is_known check (reaction in (
        'retry', 'decline', 'decline_until_funded', 'refuse', 'unknown', 'park', 'pause')),
    constraint only_a_decline_is_saved check (
        (reaction in ('decline', 'decline_until_funded')) = is_saved),
    constraint waits_are_in_order check (
        wait_at_least >= '0' and wait_base > '0' and wait_cap >= wait_base)
);
comment on table payout.stripe_error_rules is
    'What an answer that is no success means, as data: the first rule in order of its id that fits '
    'counts; a null column fits everything (stripe/FACTS.md, section 6).';
comment on column payout.stripe_error_rules.reaction is
    'retry: surely not executed, same key; decline: saved under the key, money back to the payee; '
    'decline_until_funded: the same, and a new key later by itself; refuse: not saved, a decline '
    'only if nothing else was ever sent under the key; unknown: same key, sticky; park: a person; '
    'pause: hold the whole engine, costs no try.';
comment on column payout.stripe_error_rules.is_saved is
    'Stripe answers the same to every later request with this key.';
comment on column payout.stripe_error_rules.should_retry is 'Stripe-Should-Retry; null fits any.';
comment on column payout.stripe_error_rules.is_rate_limited is
    'Whether Stripe-Rate-Limited-Reason came with the answer; null fits both.';
comment on column payout.stripe_error_rules.wait_at_least is 'Floor of the wait before the next step.';
comment on column payout.stripe_error_rules.advice is 'What a person can do, shown beside the reason.';

create table payout.engine_settings (
    is_single_row boolean not null default true,
    lease_for interval not null default '30 seconds',
    http_deadline_for interval not null default '20 seconds',
    send_window_for interval not null default '20 hours',
    attempt_drain_for interval not null default '15 minutes',
    max_tries integer not null default 50,
    max_generations integer not null default 30,
    largest_claim integer not null default 1000,
    transfers_per_doorbell integer not null default 100,
    ring_again_after interval not null default '5 seconds',
    is_livemode boolean,
    constraint engine_settings_pkey primary key (is_single_row),
    constraint there_is_one_row check (is_single_row),
    constraint lease_outlasts_the_http_deadline
        check (http_deadline_for > '0' and lease_for > http_deadline_for),
    constraint send_window_ends_before_stripe_forgets_the_key
        check (send_window_for > '0' and send_window_for <= '23 hours'),
    constraint attempts_drain_after_the_deadline check (attempt_drain_for >= http_deadline_for),
    constraint bounds_are_positive check (
        max_tries > 0 and max_generations > 0 and largest_claim > 0
        and transfers_per_doorbell > 0 and ring_again_after >= '0')
);
comment on table payout.engine_settings is 'The engine''s numbers, in one row.';
comment on column payout.engine_settings.lease_for is 'How long a claim holds a transfer.';
comment on column payout.engine_settings.http_deadline_for is
    'Total time for one call to Stripe; a send begins no later than the lease minus this.';
comment on column payout.engine_settings.send_window_for is
    'How long after its first use a key may be sent; Stripe forgets keys after 24 hours.';
comment on column payout.engine_settings.attempt_drain_for is
    'How long after its lease an attempt that nobody reported on still counts as open.';
comment on column payout.engine_settings.max_tries is 'Counted tries under one key before a person is asked.';
comment on column payout.engine_settings.max_generations is 'Keys that one transfer may ever use.';
comment on column payout.engine_settings.largest_claim is 'Most transfers that one claim hands out.';
comment on column payout.engine_settings.transfers_per_doorbell is
    'One queue job rings for this many transfers, so that several workers share a settlement.';
comment on column payout.engine_settings.ring_again_after is
    'A transfer due for longer than this without a bell in the queue is rung for again.';
comment on column payout.engine_settings.is_livemode is
    'The Stripe mode that answers must have; null: not fixed yet.';
insert into payout.engine_settings default values;

create table payout.operator_actions (
    operator_action_id bigint not null generated always as identity,
    action text not null,
    subject text,
    reason text not null,
    details jsonb not null default '{}',
    acted_by text not null default session_user,
    acted_at timestamptz not null default now(),
    constraint operator_actions_pkey primary key (operator_action_id),
    constraint reason_is_given check (length(btrim(reason)) > 0)
);
comment on table payout.operator_actions is
    'Who told the engine what, and why; also what the engine stopped by itself.';

create table payout.holds (
    hold_id bigint not null generated always as identity,
    scope text not null,
    subject text,
    reason text not null,
    placed_by text not null default session_user,
    placed_at timestamptz not null default now(),
    released_by text,
    released_at timestamptz,
    release_reason text,
    constraint holds_pkey primary key (hold_id),
    constraint scope_is_known check (scope in ('engine', 'currency', 'payee', 'settlement')),
    constraint only_the_engine_has_no_subject check ((scope = 'engine') = (subject is null)),
    constraint reason_is_given check (length(btrim(reason)) > 0),
    constraint release_is_whole check (
        (released_at is null) = (released_by is null)
        and (released_at is null) = (release_reason is null))
);
comment on table payout.holds is
    'What is not to be sent for now: nothing at all, a currency, a payee or a settlement.';
create unique index holds_scope_subject_open_key
    on payout.holds (scope, subject) nulls not distinct where released_at is null;

create table payout.discrepancies (
    discrepancy_id bigint not null generated always as identity,
    kind text not null,
    payout_transfer_id bigint,
    stripe_transfer_id text,
    ours jsonb not null default '{}',
    theirs jsonb not null default '{}',
    advice text not null,
    found_at timestamptz not null default now(),
    resolved_at timestamptz,
    resolved_by text,
    resolution text,
    constraint discrepancies_pkey primary key (discrepancy_id),
    constraint discrepancies_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint resolution_is_whole check (
        (resolved_at is null) = (resolved_by is null)
        and (resolved_at is null) = (resolution is null))
);
comment on table payout.discrepancies is
    'Where Stripe and these books disagree: what each side says and what to do. Never deleted.';
create index discrepancies_open_idx on payout.discrepancies (found_at) where resolved_at is null;

create table payout.reconcile_runs (
    reconcile_run_id bigint not null generated always as identity,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    created_from timestamptz not null,
    created_until timestamptz not null,
    next_cursor text,
    transfers_seen bigint not null default 0,
    discrepancies_found bigint not null default 0,
    constraint reconcile_runs_pkey primary key (reconcile_run_id),
    constraint window_is_in_order check (created_from < created_until),
    constraint counts_are_not_negative check (transfers_seen >= 0 and discrepancies_found >= 0)
);
comment on table payout.reconcile_runs is
    'One comparison of Stripe''s list of transfers with these books, and how far it has come.';
comment on column payout.reconcile_runs.created_from is
    'The run compares transfers that Stripe created from this time on.';
comment on column payout.reconcile_runs.created_until is 'And before this time.';
comment on column payout.reconcile_runs.next_cursor is
    'Stripe transfer id after which the next page starts; null: from the newest.';

-- Grants: the application writes settlements by column; auditors and operators read everything.

grant insert (settlement_id, currency, total_minor, state, pay_after, metadata),
    update (currency, total_minor, state, pay_after, metadata)
    on payout.settlements to payout_app;
grant insert (settlement_id, line_id, payee_id, amount_minor, source_transaction),
    update (payee_id, amount_minor, source_transaction), delete
    on payout.settlement_lines to payout_app;
grant select on payout.settlements, payout.settlement_lines to payout_app;
grant select on all tables in schema payout to payout_operator, payout_auditor;

-- frozen: procedures/guards/refuse_late_lines.sql a20fdddeea0a
-- refuse_late_lines: the one error for lines that come after their settlement was scheduled.
--
-- Raises: SP102, always.

create or replace function payout.refuse_late_lines(p_settlement_id text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'settlement % is complete: its lines cannot be changed', p_settlement_id
        using
            errcode = 'SP102',
            detail = 'Its payouts were scheduled from exactly the lines it had.',
            hint = 'Record a correction as another settlement.',
            schema = 'payout',
            table = 'settlement_lines';
end
$$;
comment on function payout.refuse_late_lines(text) is
    'Raises SP102 for a line that came too late.';
-- end frozen: procedures/guards/refuse_late_lines.sql

-- frozen: procedures/guards/tg__refuse_change.sql 9c802d81fb35
-- tg__refuse_change: a fact, once written, is neither changed nor removed.
--
-- It stands on every insert-only table and is enabled ALWAYS, so that it also
-- holds for a superuser and under session_replication_role = replica.
-- Raises: SP101 the row is a fact.

create or replace function payout.tg__refuse_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception '% on %.% is refused', lower(tg_op), tg_table_schema, tg_table_name
        using
            errcode = 'SP101',
            detail = format('%s.%s holds facts.', tg_table_schema, tg_table_name),
            hint = 'Facts are only added; a correction is a new fact.',
            schema = tg_table_schema,
            table = tg_table_name;
end
$$;
comment on function payout.tg__refuse_change() is
    'Trigger: refuses update, delete and truncate of an insert-only table (SP101).';
-- end frozen: procedures/guards/tg__refuse_change.sql

-- frozen: procedures/guards/tg_holds__release_once.sql 4f0aab50065a
-- tg_holds__release_once: a hold is placed, later released, and otherwise never changed.
--
-- Raises: SP104 anything but the first release.

create or replace function payout.tg_holds__release_once()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.released_at is not null
        or (new.hold_id, new.scope, new.subject, new.reason, new.placed_by, new.placed_at)
            is distinct from
            (old.hold_id, old.scope, old.subject, old.reason, old.placed_by, old.placed_at)
    then
        raise exception 'hold % can only be released, once', old.hold_id
            using
                errcode = 'SP104',
                hint = 'Place another hold.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return new;
end
$$;
comment on function payout.tg_holds__release_once() is
    'Trigger: the only change of a hold is its first release (SP104).';

create or replace trigger _500_release_once
    before update on payout.holds
    for each row
    execute function payout.tg_holds__release_once();
alter table payout.holds enable always trigger _500_release_once;
-- end frozen: procedures/guards/tg_holds__release_once.sql

-- frozen: procedures/guards/tg_lines_ahead__check_settlement.sql b2f1c48d985c
-- tg_lines_ahead__check_settlement: lines that came before their settlement belong to it.
--
-- At commit: the settlement may by then have been written by somebody else, who
-- scheduled it without these lines. A snapshot too old to show it cannot tell.
-- Definer: the application may write lines, but not read payout_jobs.
-- Raises: SP102 it was scheduled without the lines; SP402 repeat the transaction.

create or replace function payout.tg_lines_ahead__check_settlement()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
begin
    delete from payout.lines_ahead as a where a.settlement_id = new.settlement_id;

    -- Written, so that whoever completes it with an older snapshot fails.
    update payout.settlements as s
    set state = s.state
    where s.settlement_id = new.settlement_id
        and s.state = 'pending'
        and s.xmin <> pg_current_xact_id()::xid;

    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = new.settlement_id;
    if not found then
        raise exception 'settlement % was written by another transaction', new.settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction.';
    end if;

    if exists (select from payout.payout_jobs as j where j.settlement_id = new.settlement_id)
        and v_settlement.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = new.settlement_id
        ) then
        perform payout.refuse_late_lines(new.settlement_id);
    end if;
    return null;
end
$$;
comment on function payout.tg_lines_ahead__check_settlement() is
    'Trigger: at commit, refuses lines whose settlement was scheduled without them (SP102).';

drop trigger if exists _900_check_settlement on payout.lines_ahead;
create constraint trigger _900_check_settlement
    after insert on payout.lines_ahead
    deferrable initially deferred
    for each row
    execute function payout.tg_lines_ahead__check_settlement();
-- end frozen: procedures/guards/tg_lines_ahead__check_settlement.sql

-- frozen: procedures/guards/tg_settlement_lines__refuse_frozen.sql 2ad319f6224e
-- tg_settlement_lines__refuse_frozen: lines are frozen once their settlement is scheduled.
--
-- Not once it is complete: within one transaction the settlement may come
-- before its lines, or after them (then lines_ahead is looked at once more at
-- commit). A line of a pending settlement writes that row, so that whoever
-- completes it with an older snapshot fails (40001) instead of missing the line.
-- Definer: the application may write lines, but not read payout_jobs.
-- Raises: SP102 the settlement has been scheduled.

create or replace function payout.tg_settlement_lines__refuse_frozen()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_settlement_ids text[] := array(
        select distinct c.settlement_id::text from changed as c);
    v_found integer;
    v_has_older boolean;
    v_frozen_id text;
begin
    select count(*)::integer, coalesce(bool_or(l.is_older), false) into v_found, v_has_older
    from (
        select s.state = 'pending' and s.xmin <> pg_current_xact_id()::xid as is_older
        from payout.settlements as s
        where s.settlement_id = any (v_settlement_ids)
        order by s.settlement_id
        for no key update
    ) as l;

    if v_found < cardinality(v_settlement_ids) then
        insert into payout.lines_ahead (settlement_id)
        select i.settlement_id::payout.external_id
        from unnest(v_settlement_ids) as i (settlement_id)
        where not exists (
            select from payout.settlements as s where s.settlement_id = i.settlement_id
        )
        order by i.settlement_id
        on conflict do nothing;
    end if;

    if v_has_older then
        update payout.settlements as s
        set state = s.state
        where s.settlement_id = any (v_settlement_ids)
            and s.state = 'pending'
            and s.xmin <> pg_current_xact_id()::xid;
    end if;

    -- With immediate constraints the very statement that inserts both has scheduled
    -- the settlement by now; it did so with these lines if they add up.
    select j.settlement_id::text into v_frozen_id
    from payout.payout_jobs as j
    join payout.settlements as s on s.settlement_id = j.settlement_id
    where j.settlement_id = any (v_settlement_ids)
        and (tg_op <> 'INSERT' or s.total_minor <> (
            select sum(l.amount_minor)
            from payout.settlement_lines as l
            where l.settlement_id = j.settlement_id
        ))
    limit 1;
    if found then
        perform payout.refuse_late_lines(v_frozen_id);
    end if;
    return null;
end
$$;
comment on function payout.tg_settlement_lines__refuse_frozen() is
    'Trigger: refuses lines of a settlement that has been scheduled (SP102).';

create or replace trigger _900_refuse_frozen_insert
    after insert on payout.settlement_lines
    referencing new table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();

create or replace trigger _901_refuse_frozen_update_from
    after update on payout.settlement_lines
    referencing old table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _901_refuse_frozen_update_from;

create or replace trigger _902_refuse_frozen_update_to
    after update on payout.settlement_lines
    referencing new table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _902_refuse_frozen_update_to;

create or replace trigger _903_refuse_frozen_delete
    after delete on payout.settlement_lines
    referencing old table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _903_refuse_frozen_delete;
-- end frozen: procedures/guards/tg_settlement_lines__refuse_frozen.sql

-- frozen: procedures/guards/tg_settlements__refuse_frozen.sql e41914f958cc
-- tg_settlements__refuse_frozen: a settlement is edited while pending, never once complete.
--
-- An update that changes nothing, to the byte, passes: completing twice is harmless.
-- Raises: SP102 the settlement is complete.

create or replace function payout.tg_settlements__refuse_frozen()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if old.state = 'complete' and (tg_op = 'DELETE' or new operator(pg_catalog.*<>) old) then
        raise exception 'settlement % is complete and cannot be changed', old.settlement_id
            using
                errcode = 'SP102',
                detail = 'Its payouts were scheduled from exactly this content.',
                hint = 'Record a correction as another settlement.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    if tg_op = 'DELETE' then
        return old;
    end if;
    if new.settlement_id <> old.settlement_id then
        raise exception 'settlement % cannot be renamed', old.settlement_id
            using
                errcode = 'SP102',
                hint = 'Delete the pending settlement and insert another.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'settlement_id';
    end if;
    return new;
end
$$;
comment on function payout.tg_settlements__refuse_frozen() is
    'Trigger: refuses changes to a complete settlement (SP102).';

create or replace trigger _500_refuse_frozen
    before update or delete on payout.settlements
    for each row
    execute function payout.tg_settlements__refuse_frozen();
alter table payout.settlements enable always trigger _500_refuse_frozen;
-- end frozen: procedures/guards/tg_settlements__refuse_frozen.sql

-- frozen: procedures/guards/tg_transfer_states__check_progress.sql ca59cd1f6ad7
-- tg_transfer_states__check_progress: attempts and keys only ever count up.
--
-- A row starts as scheduled and is never handed to another transfer. A claim,
-- and nothing else, counts one attempt up. A new key comes only with the move
-- failed -> scheduled, takes the next number, and must have its reason in
-- key_generations. An old key is never sent again because its number never
-- comes back, and neither the time of its first send nor that a send ended
-- unknown is ever forgotten. A paid row does not change at all.
-- Raises: SP103 the change would go back.

create or replace function payout.tg_transfer_states__check_progress()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    if tg_op = 'INSERT' then
        v_problem := 'a transfer starts as scheduled, with its first key and no attempt';
    elsif new.payout_transfer_id <> old.payout_transfer_id then
        v_problem := 'progress belongs to one transfer';
    elsif new.state = 'in_flight' and old.state <> 'in_flight'
        and new.attempt <> old.attempt + 1 then
        v_problem := 'a claim counts the attempt up by one';
    elsif new.attempt <> old.attempt
        and not (new.state = 'in_flight' and old.state <> 'in_flight') then
        v_problem := 'only a claim counts attempts';
    elsif new.generation <> old.generation
        and not (old.state = 'failed' and new.state = 'scheduled'
            and new.generation = old.generation + 1) then
        v_problem := 'a new key takes the next number and only after a decline';
    elsif old.state = 'failed' and new.state = 'scheduled' and not exists (
        select from payout.key_generations as k
        where k.payout_transfer_id = new.payout_transfer_id
            and k.generation = new.generation
            and new.generation = old.generation + 1
    ) then
        v_problem := 'a new key needs its row in payout.key_generations first';
    elsif new.generation = old.generation and old.first_sent_at is not null
        and new.first_sent_at is distinct from old.first_sent_at then
        v_problem := 'the first send under a key is a fact';
    elsif new.generation = old.generation and old.has_unknown_send and not new.has_unknown_send then
        v_problem := 'a send whose outcome is unknown stays so under its key';
    elsif old.state = 'paid' then
        v_problem := 'what is paid is paid';
    end if;

    if v_problem is not null then
        raise exception 'transfer %: %', new.payout_transfer_id, v_problem
            using
                errcode = 'SP103',
                detail = format(
                    'State %s, generation %s, attempt %s was asked for.',
                    new.state, new.generation, new.attempt),
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_progress() is
    'Trigger: attempt and generation never go back, a new key has its evidence (SP103).';

create or replace trigger _510_check_start
    before insert on payout.transfer_states
    for each row
    when (new.state <> 'scheduled' or new.generation <> 1 or new.attempt <> 0
        or new.first_sent_at is not null)
    execute function payout.tg_transfer_states__check_progress();

create or replace trigger _511_check_progress
    before update on payout.transfer_states
    for each row
    when (old.payout_transfer_id <> new.payout_transfer_id
        or old.attempt <> new.attempt
        or old.generation <> new.generation
        or (new.state = 'in_flight' and old.state <> 'in_flight' and new.attempt <> old.attempt + 1)
        or (new.state = 'scheduled' and old.state <> 'scheduled')
        or old.first_sent_at is distinct from new.first_sent_at
        or old.has_unknown_send
        or old.state = 'paid')
    execute function payout.tg_transfer_states__check_progress();
alter table payout.transfer_states enable always trigger _511_check_progress;
-- end frozen: procedures/guards/tg_transfer_states__check_progress.sql

-- frozen: procedures/guards/tg_transfer_states__check_transition.sql 150c8a1bcc28
-- tg_transfer_states__check_transition: a transfer moves only along payout.state_edges.
--
-- It fires whoever runs the update, so a hand-typed UPDATE in psql is held to
-- the same rule as the worker. No column list on the trigger: `update of state`
-- would miss a state set by another before-trigger.
-- Raises: SP201 no such move.

create or replace function payout.tg_transfer_states__check_transition()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if not exists (
        select from payout.state_edges as e
        where e.from_state = old.state
            and e.to_state = new.state
    ) then
        raise exception 'transfer cannot move from % to %', old.state, new.state
            using
                errcode = 'SP201',
                detail = format('Transfer %s is %s.', old.payout_transfer_id, old.state),
                hint = 'payout.state_edges lists the moves that exist.',
                schema = tg_table_schema,
                table = tg_table_name,
                column = 'state';
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_transition() is
    'Trigger: rejects a change of transfer_states.state that is not in payout.state_edges (SP201).';

create or replace trigger _500_check_transition
    before update on payout.transfer_states
    for each row
    when (old.state is distinct from new.state)
    execute function payout.tg_transfer_states__check_transition();
alter table payout.transfer_states enable always trigger _500_check_transition;
-- end frozen: procedures/guards/tg_transfer_states__check_transition.sql

-- frozen: procedures/scheduling/clock.sql d04f9970373c
-- clock: the one place that asks what time it is.
--
-- The clock of the database decides every lease, wait and key age; the worker
-- has only its own monotonic one. No setting moves it: tests age the rows.

create or replace function payout.clock()
returns timestamptz
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return clock_timestamp();
end
$$;
comment on function payout.clock() is 'Now, by the database''s clock, not frozen per transaction.';
-- end frozen: procedures/scheduling/clock.sql

-- frozen: procedures/scheduling/payout_ref.sql 51b08e7da455
-- payout_ref: the business identity of one transfer.
--
-- A hash, so that it is short and shows nobody's name, over texts that carry
-- their lengths, so that no two identities are written alike. Never a serial:
-- a promoted standby hands out serials again.

create or replace function payout.payout_ref(
    p_settlement_id text, p_payee_id text, p_source_transaction text
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return 'payout_' || left(encode(sha256(convert_to(
        octet_length(p_settlement_id)::text || ':' || p_settlement_id
        || ',' || octet_length(p_payee_id)::text || ':' || p_payee_id
        || ',' || coalesce(p_source_transaction, ''),
        'UTF8')), 'hex'), 40);
end
$$;
comment on function payout.payout_ref(text, text, text) is
    'Identity of the transfer of a settlement to a payee from a source: payout_ and 40 hex digits.';
-- end frozen: procedures/scheduling/payout_ref.sql

-- frozen: procedures/scheduling/request_fits.sql a78ba7a7a817
-- request_fits: the frozen request says nothing else than the row it stands in.

create or replace function payout.request_fits(
    p_request jsonb,
    p_amount_minor bigint,
    p_currency text,
    p_destination text,
    p_payout_ref text,
    p_settlement_id text,
    p_payee_id text,
    p_source_transaction text
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        p_request ->> 'amount' = p_amount_minor::text
        and p_request ->> 'currency' = p_currency
        and p_request ->> 'destination' = p_destination
        and p_request ->> 'source_transaction' is not distinct from p_source_transaction
        and p_request -> 'metadata' @> jsonb_build_object(
            'payout_ref', p_payout_ref, 'settlement_id', p_settlement_id, 'payee_id', p_payee_id),
        false);
end
$$;
comment on function payout.request_fits(jsonb, bigint, text, text, text, text, text, text) is
    'True when amount, currency, destination, source and metadata of a request are those given.';
-- end frozen: procedures/scheduling/request_fits.sql

-- frozen: procedures/ledger/accounts_fit.sql 47dbfa49ad6c
-- accounts_fit: which account each kind of movement debits and which it credits.
--
-- A function, not a check spelled out in the table: Postgres reads the text of
-- a check anew for each statement, which cost more than the insert itself.

create or replace function payout.accounts_fit(
    p_kind text, p_debit_account text, p_credit_account text
)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case p_kind
        when 'obligation' then
            p_debit_account = 'settlement_funds' and p_credit_account like 'payable:_%'
        when 'reserve' then p_debit_account like 'payable:_%' and p_credit_account = 'in_flight'
        when 'paid' then p_debit_account = 'in_flight' and p_credit_account = 'stripe_balance'
        when 'release' then p_debit_account = 'in_flight' and p_credit_account like 'payable:_%'
        when 'reversal' then
            p_debit_account = 'stripe_balance' and p_credit_account like 'payable:_%'
        else false
    end;
end
$$;
comment on function payout.accounts_fit(text, text, text) is
    'True when a ledger entry of this kind moves money between the accounts that it should.';
-- end frozen: procedures/ledger/accounts_fit.sql

-- frozen: sql/error_codes.sql b193eb8f0c5b
-- error_codes: every error the engine raises by itself, with what the caller does about it.

create or replace view payout_api.error_codes as
select c.sqlstate, c.meaning, c.reaction
from (values
    ('SP101', 'a fact may not be changed or removed', 'stop and alert'),
    ('SP102', 'a complete settlement may not be changed', 'stop and alert'),
    ('SP103', 'attempts and keys of a transfer only count up', 'stop and alert'),
    ('SP104', 'a hold can only be released, once', 'stop and alert'),
    ('SP201', 'the transfer is in a state that knows no such move', 'finish quietly'),
    ('SP402', 'another transaction came first: repeat this one', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_auditor;
-- end frozen: sql/error_codes.sql

alter table payout.payout_transfers add constraint payout_ref_is_derived
    check (payout_ref = payout.payout_ref(settlement_id, payee_id, source_transaction));
alter table payout.payout_transfers add constraint request_says_what_the_row_says
    check (payout.request_fits(
        request, amount_minor, currency, destination, payout_ref, settlement_id, payee_id,
        source_transaction));
alter table payout.ledger_entries add constraint accounts_fit_the_kind
    check (payout.accounts_fit(kind, debit_account, credit_account));

-- Facts are refused every change, tables that move are refused removal: for everybody, always.
do $$
declare
    v_table text;
begin
    foreach v_table in array array[
        'currencies', 'states', 'state_edges', 'ledger_accounts', 'payees', 'payee_accounts',
        'payout_jobs', 'payout_transfers', 'transfer_attempts', 'transfer_observations',
        'key_generations', 'ledger_entries', 'operator_actions'
    ]
    loop
        execute format(
            'create trigger _500_refuse_change before update or delete on payout.%I '
            'for each row execute function payout.tg__refuse_change()', v_table);
        execute format('alter table payout.%I enable always trigger _500_refuse_change', v_table);
    end loop;
    foreach v_table in array array[
        'transfer_states', 'holds', 'discrepancies', 'reconcile_runs', 'engine_settings'
    ]
    loop
        execute format(
            'create trigger _500_refuse_delete before delete on payout.%I '
            'for each row execute function payout.tg__refuse_change()', v_table);
        execute format('alter table payout.%I enable always trigger _500_refuse_delete', v_table);
    end loop;
    for v_table in
        select c.relname from pg_catalog.pg_class as c
        where c.relnamespace = 'payout'::regnamespace and c.relkind = 'r'
    loop
        execute format(
            'create trigger _500_refuse_truncate before truncate on payout.%I '
            'for each statement execute function payout.tg__refuse_change()', v_table);
        execute format('alter table payout.%I enable always trigger _500_refuse_truncate', v_table);
    end loop;
end
$$;

reset role;
