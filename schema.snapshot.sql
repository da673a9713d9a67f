-- The schema of the payout engine, for review. Written by `make snapshot`; never by hand.

default rights of payout_owner on f: none
default rights of payout_owner on r in payout: select to payout_auditor; select to payout_operator
default rights of payout_owner on r in payout_api: select to payout_auditor; select to payout_operator
rights on the database: connect to public
role payout_app
role payout_auditor
role payout_operator
role payout_owner
role payout_worker
schema payout, owner payout_owner: usage to payout_app; usage to payout_auditor; usage to payout_operator
schema payout_api, owner payout_owner: usage to payout_app; usage to payout_approver; usage to payout_auditor; usage to payout_operator; usage to payout_worker

domain payout.currency_code as text
    constraint currency_is_three_lower_case_letters CHECK ((VALUE ~ '^[a-z]{3}$'::text))
    -- ISO 4217 code in lower case, as Stripe writes it.

domain payout.external_id as text
    constraint id_fits CHECK ((((octet_length(VALUE) <= 200) AND (VALUE ~ '^[!-~]([ -~]*[!-~])?$'::text)) OR payout.id_fits(VALUE)))
    -- A name given outside of the engine (settlement, payee, line): compared byte for byte, sent to Stripe as metadata, hence short and in one spelling only.

domain payout.moment as timestamp with time zone
    constraint moment_has_a_year_of_four_digits CHECK (((EXTRACT(year FROM (VALUE AT TIME ZONE 'UTC'::text)) >= (1000)::numeric) AND (EXTRACT(year FROM (VALUE AT TIME ZONE 'UTC'::text)) <= (9998)::numeric)))
    -- A point in time, not infinity; one outside of these years is a slip, and a program that reads it with others may read none of them.

domain payout.payout_status as text
    constraint status_is_known CHECK ((VALUE = ANY (ARRAY['scheduled'::text, 'waiting_for_account'::text, 'sending'::text, 'paid'::text, 'on_hold'::text, 'failed'::text, 'cancelled'::text, 'settled_outside'::text])))
    -- The application's word for how far a transfer is.

domain payout.positive_minor as bigint
    constraint amount_is_positive CHECK ((VALUE > 0))
    -- An amount of money in minor units, above zero.

domain payout.settlement_state as text
    constraint settlement_is_pending_or_complete CHECK ((VALUE = ANY (ARRAY['pending'::text, 'complete'::text])))
    -- pending: editable; complete: frozen and scheduled.

domain payout.source_transaction_id as text
    constraint source_transaction_is_a_charge_and_no_payment_intent CHECK ((VALUE !~ '^pi_'::text))
    constraint source_transaction_looks_like_one CHECK (((VALUE ~ '^[A-Za-z0-9]+_[A-Za-z0-9_]+$'::text) AND (length(VALUE) <= 255)))
    -- Stripe's id of a charge, such as ch_1; a payment intent has it in latest_charge.

domain payout.transfer_state as text
    constraint state_is_known CHECK ((VALUE = ANY (ARRAY['scheduled'::text, 'in_flight'::text, 'retry_wait'::text, 'unknown'::text, 'parked'::text, 'failed'::text, 'paid'::text, 'cancelled'::text, 'settled_outside'::text])))
    -- A state out of payout.states.

sequence payout.awaited_outcomes, owner payout_owner, rights: none
    -- Called: the application has read since it was last notified. A sequence, because it is set outside of transactions.

sequence payout.read_turns, owner payout_owner, rights: none
    -- The same for reading a page of Stripe's lists.

sequence payout.seen_wakeup, owner payout_owner, rights: none
    -- The wake-up job that was seen to wait for a worker; not called: look for it in the queue; 0: the queue failed, so that only the next sweep touches it.

sequence payout.send_turns, owner payout_owner, rights: none
    -- The time of the first turn to send that is not handed out yet, in microseconds since 1970.

sequence payout.waiting_wakeup, owner payout_owner, rights: none
    -- The wake-up job that was queued last, if no claim was made since; not called: none.

type payout.act_result as
    payout_transfer_id bigint
    settlement_id text
    payee_id text
    amount numeric
    amount_minor bigint
    currency text
    state text
    result text
    detail text
    -- The result of an act of an operator for a transfer: its amount in the currency itself and in minor units; its state now; result is done, already, refused, proposed (another person has to approve it) or preview (it would be done); detail says why, or what comes next.

type payout.claim as
    payout_transfer_id bigint
    generation integer
    attempt integer
    idempotency_key text
    claim_token text
    request jsonb
    lease_seconds double precision
    deadline_seconds double precision
    send_in_seconds double precision
    due_for_seconds double precision
    -- A transfer that a worker is given, as claim_transfers returns it.

type payout.discrepancy as
    kind text
    payout_transfer_id bigint
    stripe_transfer_id text
    ours jsonb
    theirs jsonb
    not_ours_rule_id bigint
    -- A disagreement of Stripe and the books about a transfer, before it is a discrepancy's row; one of a transfer that is not ours by a rule never is.

type payout.judgement as
    verdict text
    to_state text
    reason text
    error_rule_id integer
    next_attempt_at timestamp with time zone
    counts_as_try boolean
    leaves_unknown boolean
    is_alarm boolean
    pauses_engine boolean
    -- The meaning of one outcome for its transfer, as the judge_* functions give it.

type payout.outcome as
    payout_transfer_id bigint
    generation integer
    attempt integer
    idempotency_key text
    claim_token text
    signal text
    detail text
    http_status integer
    stripe_request_id text
    is_tied boolean
    is_replayed boolean
    should_retry text
    rate_limited_reason text
    retry_after_seconds bigint
    body jsonb
    error_type text
    error_code text
    error_message text
    error_param text
    object text
    stripe_transfer_id text
    amount_minor bigint
    currency text
    destination text
    is_livemode boolean
    payout_ref text
    belongs_to text
    source_transaction text
    payout_engine text
    amount_reversed_minor bigint
    read_id bigint
    found integer
    first_absence_id bigint
    operator_action_id bigint
    -- One outcome of a transfer: an answer to an attempt (an element of the array that report_outcomes takes, up to body; read_outcome reads what follows out of it), a look-up, a lease or a key that ran out, or an act of an operator (detail: the reference it names).

type payout.reported as
    payout_transfer_id bigint
    generation integer
    attempt integer
    verdict text
    state text
    -- The answer to one outcome, as report_outcomes returns it.

type payout.stripe_transfer as
    object text
    stripe_transfer_id text
    amount_minor bigint
    amount_reversed_minor bigint
    currency text
    destination text
    is_livemode boolean
    source_transaction text
    transfer_group text
    payout_ref text
    settlement_id text
    payee_id text
    payout_engine text
    belongs_to text
    created_at timestamp with time zone
    is_readable boolean
    -- A transfer as Stripe shows it (read_stripe_transfer); null where a field is absent or cannot be read. payout_ref, settlement_id, payee_id and payout_engine stand in its metadata, which people can edit; belongs_to is the payout_ref that its group names, else its metadata, else settlement and payee. is_readable is false where a field that tells whose transfer it is cannot be read.

table payout.account_waits, owner payout_owner -- The transfers that were scheduled before their payee had an account. The first account ends the wait; the sweep looks for one that came while the settlement was being scheduled.
    payout_transfer_id bigint not null
    payee_id payout.external_id not null
    created_at timestamp with time zone not null default now()
    looks integer not null default 0 -- Looks that found no account; each is rarer.
    next_look_at timestamp with time zone default now() -- The time at which a sweep looks for an account; null: it waits no longer.
    constraint account_waits_pkey PRIMARY KEY (payout_transfer_id)
    constraint account_waits_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id)
    index account_waits_next_look_at_idx USING btree (next_look_at) WHERE (next_look_at IS NOT NULL)
    index account_waits_payee_id_idx USING btree (payee_id) WHERE (next_look_at IS NOT NULL)
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_rewrite BEFORE UPDATE FOR EACH ROW WHEN (((old.payout_transfer_id IS DISTINCT FROM new.payout_transfer_id) OR ((old.payee_id)::text IS DISTINCT FROM (new.payee_id)::text) OR (old.created_at IS DISTINCT FROM new.created_at) OR (old.next_look_at IS NULL))) EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.adoptions, owner payout_owner -- The identities under which this database was adopted; the newest row counts. Claims are refused under any other identity. A row without an identity stops claims until the database is adopted again: the Stripe account was changed, or Stripe has what another database sent.
    adoption_id bigint not null identity
    system_identifier bigint -- pg_control_system(): another one is another cluster, so the data was restored into it.
    timeline_id integer -- Another timeline: a standby was promoted, or the cluster was recovered to a point in time.
    database_oid oid -- Another database: a clone by template, or a dump restored beside the first one.
    table_oid oid -- Of payout.transfer_states; another one: a dump was restored into the same database.
    is_installation boolean not null default false -- Recorded by the migration, in a database without transfers: older ones were loaded later.
    read_id bigint -- The comparison that the adoption relied on, or the read that showed why to stop; null: none.
    reason text not null
    recorded_by text not null default SESSION_USER
    recorded_at timestamp with time zone not null default now()
    is_first_claim boolean not null default false -- Written when the installation handed out its first transfer. Without it attempts are those of another installation, from which data were loaded.
    constraint adoptions_pkey PRIMARY KEY (adoption_id)
    constraint identity_is_whole_or_none CHECK ((num_nulls(system_identifier, timeline_id, database_oid, table_oid) = ANY (ARRAY[0, 4])))
    constraint installation_has_an_identity CHECK (((NOT is_installation) OR (system_identifier IS NOT NULL)))
    constraint reason_is_given CHECK ((length(btrim(reason)) > 0))
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.cap_uses, owner payout_owner -- The part of each cap that has been handed out in its newest day or hour, counted while there is such a cap. A transfer counts once for each key, also if Stripe declines it.
    scope text not null
    subject text not null -- The payee; of the engine an empty text.
    currency payout.currency_code not null
    begun_at timestamp with time zone not null -- The beginning of the day or hour, in UTC.
    amount_minor numeric not null -- In minor units of currency.
    transfers integer not null
    constraint cap_uses_pkey PRIMARY KEY (scope, currency, subject)
    constraint use_is_positive CHECK (((amount_minor > (0)::numeric) AND (transfers > 0)))
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.caps, owner payout_owner -- The most that is handed out in a currency: as one transfer, to a payee in a day, and by the engine in an hour, both of UTC. No row, or null: no cap.
    scope text not null
    currency payout.currency_code not null
    largest_amount_minor bigint -- In minor units; null: any amount.
    largest_count integer -- The number of transfers; null: any number.
    constraint caps_pkey PRIMARY KEY (scope, currency)
    constraint caps_currency_fkey FOREIGN KEY (currency) REFERENCES payout.currencies(currency)
    constraint a_transfer_is_not_counted CHECK (((scope <> 'transfer'::text) OR (largest_count IS NULL)))
    constraint caps_are_not_negative CHECK (((largest_amount_minor >= 0) AND (largest_count >= 0)))
    constraint scope_is_known CHECK ((scope = ANY (ARRAY['transfer'::text, 'payee'::text, 'engine'::text])))
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _900_record_change AFTER INSERT OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg_caps__record_change()
    rights: select to payout_auditor; select to payout_operator

table payout.catalogues, owner payout_owner -- Functions, triggers, constraints, rights, reference rows and all other objects of the engine, written at the end of each migration; the doctor compares the newest row with the database.
    catalogue_id bigint not null identity
    objects jsonb not null -- For each object its definition, and its text as the server writes it.
    server_major integer not null default ((current_setting('server_version_num'::text))::integer / 10000) -- The major version of the server that wrote these texts; another one may write them otherwise.
    reason text not null
    recorded_by text not null default SESSION_USER
    recorded_at timestamp with time zone not null default now()
    constraint catalogues_pkey PRIMARY KEY (catalogue_id)
    constraint objects_is_an_object CHECK ((jsonb_typeof(objects) = 'object'::text))
    constraint reason_is_given CHECK ((length(btrim(reason)) > 0))
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.currencies, owner payout_owner -- The currencies Stripe transfers and how it counts them (docs.stripe.com/currencies). An operator adds one with payout_api.add_currency, a release in sql/data/currencies.sql.
    currency payout.currency_code not null
    minor_digits smallint not null -- Decimal places between the currency and its minor unit: 2 for usd, 0 for jpy, 3 for kwd.
    amount_step integer not null default 1 -- An amount must be a multiple of this: 10 for three-decimal currencies, 100 for isk and ugx.
    minor_unit numeric not null stored as 
CASE minor_digits
    WHEN 0 THEN (1)::numeric
    WHEN 3 THEN 0.001
    ELSE 0.01
END -- One minor unit in the currency itself: 0.01 for usd. An amount times this has its digits.
    constraint currencies_pkey PRIMARY KEY (currency)
    constraint amount_step_is_a_power_of_ten CHECK ((amount_step = ANY (ARRAY[1, 10, 100])))
    constraint minor_digits_are_0_2_or_3 CHECK ((minor_digits = ANY (ARRAY[0, 2, 3])))
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_app; select to payout_auditor; select to payout_operator

table payout.discrepancies, owner payout_owner -- Disagreements between Stripe, or the application, and these books: both sides, and the next step. Never deleted.
    discrepancy_id bigint not null identity
    kind text not null
    payout_transfer_id bigint
    stripe_transfer_id text
    ours jsonb not null default '{}'::jsonb
    theirs jsonb not null default '{}'::jsonb
    advice text not null
    found_at timestamp with time zone not null default now()
    resolved_at timestamp with time zone
    resolved_by text
    resolution text
    found_by_read_id bigint -- The read of Stripe's lists that found it first: a later one may find it again, or no longer; null: found in another way.
    resolved_by_read_id bigint -- The comparison that saw the transfer and no difference any more; then it may be found anew.
    resolved_by_rule_id bigint -- The rule by which the transfer is not ours; once that has ended it may be found anew.
    constraint discrepancies_pkey PRIMARY KEY (discrepancy_id)
    constraint discrepancies_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id)
    constraint discrepancies_resolved_by_rule_id_fkey FOREIGN KEY (resolved_by_rule_id) REFERENCES payout.not_ours_rules(not_ours_rule_id)
    constraint compared_names_a_transfer CHECK (((found_by_read_id IS NULL) OR (stripe_transfer_id IS NOT NULL)))
    constraint reads_resolve_what_they_compare CHECK (((resolved_by_read_id IS NULL) OR ((found_by_read_id IS NOT NULL) AND (resolved_at IS NOT NULL))))
    constraint resolution_is_whole CHECK ((((resolved_at IS NULL) = (resolved_by IS NULL)) AND ((resolved_at IS NULL) = (resolution IS NULL))))
    constraint rules_resolve_what_reads_compare CHECK (((resolved_by_rule_id IS NULL) OR ((found_by_read_id IS NOT NULL) AND (resolved_at IS NOT NULL) AND (resolved_by_read_id IS NULL))))
    index discrepancies_explained_idx USING btree (kind, stripe_transfer_id) WHERE ((found_by_read_id IS NOT NULL) AND (resolved_at IS NOT NULL) AND (resolved_by_read_id IS NULL) AND (resolved_by_rule_id IS NULL))
    unique index discrepancies_kind_stripe_transfer_id_compared_key USING btree (kind, stripe_transfer_id) WHERE ((found_by_read_id IS NOT NULL) AND (resolved_at IS NULL))
    index discrepancies_open_idx USING btree (found_at) WHERE (resolved_at IS NULL)
    index discrepancies_open_payout_transfer_id_idx USING btree (payout_transfer_id) WHERE (resolved_at IS NULL)
    index discrepancies_open_stripe_transfer_id_idx USING btree (stripe_transfer_id) WHERE (resolved_at IS NULL)
    index discrepancies_resolved_by_rule_id_idx USING btree (resolved_by_rule_id) WHERE (resolved_by_rule_id IS NOT NULL)
    index discrepancies_settlement_edited_idx USING btree (((ours ->> 'settlement_id'::text))) WHERE (kind = 'settlement_edited'::text)
    trigger _500_close_once BEFORE UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__close_once('resolved_at', 'resolved_by', 'resolution', 'resolved_by_read_id', 'resolved_by_rule_id'), always
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.discrepancy_kinds, owner payout_owner -- The kinds of discrepancy that a comparison can find or an edit of the application makes. Alarms are discrepancies too; their kind is the reason of the alarm.
    kind text not null
    advice text not null -- The next step for an operator.
    constraint discrepancy_kinds_pkey PRIMARY KEY (kind)
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.engine_settings, owner payout_owner -- The engine's numbers, in one row.
    is_single_row boolean not null default true
    installation_id text not null default replace((gen_random_uuid())::text, '-'::text, ''::text) -- Made once, with the first migration; part of each payout_ref and in the metadata of each transfer. A restored copy keeps it, so that the keys of both collide at Stripe.
    lease_for interval not null default '00:00:30'::interval -- The time for which a claim holds a transfer.
    http_deadline_for interval not null default '00:00:20'::interval -- Total time for one call to Stripe; a send begins no later than the lease minus this.
    send_window_for interval not null default '20:00:00'::interval -- The time for which a key may be sent once its transfer is due; Stripe forgets it in 24 hours.
    comparison_counts_for interval not null default '01:00:00'::interval -- The time from its begin for which a comparison of Stripe's newest transfers allows claims.
    attempt_drain_for interval not null default '00:15:00'::interval -- The time after its lease for which an attempt without a report still counts as open.
    max_tries integer not null default 50 -- Counted tries under one key before the transfer is parked.
    max_generations integer not null default 30 -- Keys that one transfer may use, those aside that were declined for lack of funds.
    largest_claim integer not null default 1000 -- Most transfers that one claim may ask for: no fewer than the 100 that a worker asks for.
    transfers_per_wakeup integer not null default 100 -- The number of transfers for one wake-up job, so that several workers share a settlement.
    queue_wakeup_again_after interval not null default '00:00:05'::interval -- A transfer that is due for longer than this without a waiting wake-up job gets another.
    is_livemode boolean -- The Stripe mode that answers must have; null: not fixed yet.
    stripe_account_id text -- The Stripe account that pays; null until the first claim names one, together with its mode.
    indeterminate_for interval not null default '24:00:00'::interval -- The time after an attempt without a definite answer for which Stripe may still carry it out.
    scans_apart_for interval not null default '01:00:00'::interval -- The shortest time between two scans of Stripe's list that prove a transfer absent.
    approval_limit_minor bigint not null default 100000 -- Above this amount, in minor units of any currency, two people are needed for a new key after a proof of absence, and for what an operator settles outside, writes off or repays.
    proposals_expire_after interval not null default '24:00:00'::interval -- The time for which another person may approve a proposal.
    max_alarms integer not null default 10 -- Alarms about so many transfers within alarm_window_for place a hold on the engine.
    alarm_window_for interval not null default '00:10:00'::interval -- The time in which alarms are counted, and in which a worker's success shows that Stripe refuses the key of another worker only.
    sends_per_second numeric -- The most requests for transfers that all workers together send in a second; null: as many as Stripe takes, which refusals for the rate show.
    reads_per_second numeric default 10 -- The most pages of Stripe's lists that all workers together read in a second; null: any.
    account_change_waits_for interval not null default '00:00:00'::interval -- The time for which nothing new goes to a payee whose Stripe account was changed.
    constraint engine_settings_pkey PRIMARY KEY (is_single_row)
    constraint account_change_waits_no_less_than_no_time CHECK ((account_change_waits_for >= '00:00:00'::interval))
    constraint approval_limit_is_an_amount CHECK ((approval_limit_minor >= 0))
    constraint attempts_drain_between_two_scans CHECK (((lease_for + attempt_drain_for) < scans_apart_for))
    constraint attempts_drain_for_a_quarter_of_an_hour CHECK (((attempt_drain_for >= '00:15:00'::interval) AND (attempt_drain_for >= http_deadline_for)))
    constraint bounds_are_positive CHECK (((max_tries > 0) AND (max_generations > 0) AND (transfers_per_wakeup > 0) AND (queue_wakeup_again_after >= '00:00:00'::interval) AND (max_alarms > 0) AND (alarm_window_for > '00:00:00'::interval)))
    constraint comparison_counts_for_a_while CHECK ((comparison_counts_for >= '00:15:00'::interval))
    constraint installation_id_has_32_digits CHECK ((installation_id ~ '^[0-9a-f]{32}$'::text))
    constraint largest_claim_serves_every_worker CHECK ((largest_claim >= 100))
    constraint last_send_ends_before_stripe_forgets_the_key CHECK (((send_window_for > '00:00:00'::interval) AND ((((comparison_counts_for + send_window_for) + lease_for) + attempt_drain_for) < '24:00:00'::interval)))
    constraint lease_outlasts_the_http_deadline CHECK (((http_deadline_for > '00:00:00'::interval) AND (lease_for > http_deadline_for)))
    constraint paces_can_be_kept CHECK (((LEAST(sends_per_second, reads_per_second) >= 0.1) AND (GREATEST(sends_per_second, reads_per_second) <= 10000.0)))
    constraint proposals_live_for_a_while CHECK ((proposals_expire_after > '00:00:00'::interval))
    constraint scans_are_an_hour_apart CHECK ((scans_apart_for >= '01:00:00'::interval))
    constraint stripe_account_id_looks_like_one CHECK (((stripe_account_id ~ '^acct_[A-Za-z0-9_]+$'::text) AND (length(stripe_account_id) <= 255)))
    constraint stripe_account_is_fixed_with_its_mode CHECK (((stripe_account_id IS NULL) OR (is_livemode IS NOT NULL)))
    constraint stripe_settles_within_a_day CHECK (((EXTRACT(hour FROM indeterminate_for) >= (24)::numeric) OR (indeterminate_for >= '25:00:00'::interval)))
    constraint there_is_one_row CHECK (is_single_row)
    constraint times_and_numbers_can_be_added_up CHECK (((GREATEST(indeterminate_for, scans_apart_for, proposals_expire_after, alarm_window_for, queue_wakeup_again_after, account_change_waits_for) <= '1 year'::interval) AND (GREATEST(max_tries, max_generations, largest_claim, transfers_per_wakeup, max_alarms) <= 1000000)))
    trigger _500_refuse_another_installation BEFORE UPDATE FOR EACH ROW WHEN ((old.installation_id IS DISTINCT FROM new.installation_id)) EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _900_check_account AFTER UPDATE DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (((old.stripe_account_id IS NOT NULL) AND ((old.stripe_account_id IS DISTINCT FROM new.stripe_account_id) OR (old.is_livemode IS DISTINCT FROM new.is_livemode)))) EXECUTE FUNCTION payout.tg_engine_settings__check_account(), always
    trigger _900_record_change AFTER UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg_engine_settings__record_change()
    rights: select to payout_auditor; select to payout_operator

table payout.holds, owner payout_owner -- Stops on sending: for the engine, a worker, a currency, a payee, a settlement or a transfer, until released.
    hold_id bigint not null identity
    scope text not null
    subject text -- The name of the worker, the currency, the id of the payee, settlement or transfer.
    reason text not null
    placed_by text not null default SESSION_USER
    placed_at timestamp with time zone not null default now()
    released_by text
    released_at timestamp with time zone
    release_reason text
    discrepancy_id bigint -- The alarm that placed it; null: another reason, so that the end of an alarm does not end it.
    expires_at timestamp with time zone -- The time at which a sweep releases it; null: only an operator does, or the end of its alarm.
    awaits text -- funds, account, cap, account_change: a wait, which the engine places and ends by itself, and which stops only transfers that were not sent under their key yet; null: any other hold.
    goes_on_at timestamp with time zone -- The time at which the engine ends a wait, or lets one transfer through to see whether it is over; null: only a person ends it.
    probe_transfer_id bigint -- The transfer that was let through last; once it is paid the wait is over.
    probes integer not null default 0 -- How often one was let through, which makes the next time later.
    constraint holds_pkey PRIMARY KEY (hold_id)
    constraint holds_discrepancy_id_fkey FOREIGN KEY (discrepancy_id) REFERENCES payout.discrepancies(discrepancy_id)
    constraint alarms_stop_their_transfer_or_the_engine CHECK (((discrepancy_id IS NULL) OR (scope = ANY (ARRAY['transfer'::text, 'engine'::text]))))
    constraint cause_of_a_wait_is_known CHECK ((awaits = ANY (ARRAY['funds'::text, 'account'::text, 'cap'::text, 'account_change'::text])))
    constraint only_a_wait_goes_on CHECK (((awaits IS NOT NULL) OR ((goes_on_at IS NULL) AND (probe_transfer_id IS NULL) AND (probes = 0))))
    constraint only_the_engine_has_no_subject CHECK (((scope = 'engine'::text) = (subject IS NULL)))
    constraint probes_count_from_zero CHECK ((probes >= 0))
    constraint reason_is_given CHECK ((length(btrim(reason)) > 0))
    constraint release_is_whole CHECK ((((released_at IS NULL) = (released_by IS NULL)) AND ((released_at IS NULL) = (release_reason IS NULL))))
    constraint scope_is_known CHECK ((scope = ANY (ARRAY['engine'::text, 'worker'::text, 'currency'::text, 'payee'::text, 'settlement'::text, 'transfer'::text])))
    index holds_placed_at_idx USING btree (placed_at) WHERE (discrepancy_id IS NOT NULL)
    unique index holds_scope_subject_open_key USING btree (scope, subject, ((discrepancy_id IS NULL)), awaits) NULLS NOT DISTINCT WHERE (released_at IS NULL)
    index holds_subject_of_a_cap_idx USING btree (subject) WHERE (awaits = 'cap'::text)
    trigger _500_close_once BEFORE UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__close_once('released_at', 'released_by', 'release_reason', 'goes_on_at', 'probe_transfer_id', 'probes'), always
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.ledger_accounts, owner payout_owner -- The chart of accounts. `payable` has one sub-account a payee, written payable:<payee_id>.
    account text not null
    meaning text not null
    constraint ledger_accounts_pkey PRIMARY KEY (account)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.ledger_entries, owner payout_owner -- Double-entry books: each row moves an amount from one account to another, so it balances by construction. Insert-only.
    ledger_entry_id bigint not null identity
    payout_transfer_id bigint not null
    kind text not null -- obligation: owed; reserve: set aside for sending; paid: Stripe moved it; release: back to the payee's account in these books; reversal: Stripe took it back; cancel: not owed after all; settle_outside: paid in another way; write_off: taken back by Stripe and not owed any more.
    generation integer not null
    debit_account text not null
    credit_account text not null
    amount_minor bigint not null -- In minor units of currency, always positive.
    currency payout.currency_code not null
    stripe_reversal_id text -- Stripe's trr_ id, for kind reversal only: each reversal is booked once.
    operator_action_id bigint -- The act that ordered it, for kinds cancel, settle_outside and write_off only. No foreign key: its row is written in the same transaction.
    created_at timestamp with time zone not null default CURRENT_TIMESTAMP
    constraint ledger_entries_pkey PRIMARY KEY (ledger_entry_id)
    constraint ledger_entries_payout_transfer_id_kind_generation_origin_key UNIQUE NULLS NOT DISTINCT (payout_transfer_id, kind, generation, stripe_reversal_id, operator_action_id)
    unique index ledger_entries_stripe_reversal_id_key USING btree (stripe_reversal_id) WHERE (stripe_reversal_id IS NOT NULL)
    trigger _500_check_movement BEFORE INSERT FOR EACH ROW EXECUTE FUNCTION payout.tg_ledger_entries__check_movement(), always
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.listed_transfers, owner payout_owner -- Transfers that Stripe had when these books did not say that it had paid by them. A transfer with such a payout_ref is never sent: it becomes paid, or an alarm.
    stripe_transfer_id text not null
    payout_ref text not null -- The transfer that it belongs to: by its transfer_group, else by its metadata.
    amount_minor bigint -- With the next columns: as Stripe listed it; null: not to be read.
    amount_reversed_minor bigint not null -- The part of it that was reversed when it was seen first, in minor units.
    currency payout.currency_code
    destination text
    is_livemode boolean
    named_payout_ref text -- payout_ref in its metadata, by which a success is judged.
    named_engine text -- payout_engine in its metadata, by which a success is judged.
    source_transaction text -- The charge that funds it, by which a success is judged; null: none, or not to be read.
    created_at timestamp with time zone -- The time at which Stripe made it, by Stripe's clock; null: not to be read.
    read_id bigint -- The read that saw it first: a comparison, of all or of the newest, or one of events.
    seen_at timestamp with time zone not null -- The time at which that read saw it, by our clock.
    constraint listed_transfers_pkey PRIMARY KEY (stripe_transfer_id)
    index listed_transfers_payout_ref_idx USING btree (payout_ref)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.not_ours_rules, owner payout_owner -- Rules for transfers at Stripe that are not the engine's: a comparison counts those that fit all conditions of a rule, and records no discrepancy. Nothing that may be ours fits any rule (payout.may_be_ours).
    not_ours_rule_id bigint not null identity
    created_before timestamp with time zone -- Stripe made it before this time; null: at any time.
    metadata_key text -- Its metadata have this key; null: any metadata.
    destination text -- It went to this Stripe account; null: to any.
    is_everything boolean not null default false -- True: no condition; it fits everything that cannot be ours.
    reason text not null
    recorded_by text not null default SESSION_USER
    recorded_at timestamp with time zone not null default now()
    ended_at timestamp with time zone -- The time from which it counts no longer; the next comparison then reads the whole list.
    ended_by text
    end_reason text
    constraint not_ours_rules_pkey PRIMARY KEY (not_ours_rule_id)
    constraint destination_is_a_stripe_account CHECK (starts_with(destination, 'acct_'::text))
    constraint end_is_whole CHECK ((((ended_at IS NULL) = (ended_by IS NULL)) AND ((ended_at IS NULL) = (end_reason IS NULL))))
    constraint metadata_key_is_one CHECK (((length(metadata_key) >= 1) AND (length(metadata_key) <= 40)))
    constraint only_a_rule_for_everything_has_no_condition CHECK ((is_everything = (num_nonnulls(created_before, metadata_key, destination) = 0)))
    constraint reason_is_given CHECK ((length(btrim(reason)) > 0))
    unique index not_ours_rules_open_key USING btree (created_before, metadata_key, destination) NULLS NOT DISTINCT WHERE (ended_at IS NULL)
    trigger _500_close_once BEFORE UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__close_once('ended_at', 'ended_by', 'end_reason'), always
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.open_reversals, owner payout_owner -- The reversals of transfers of which something is owed again: the list of reversed_money, which reads the amounts in the books. A row is gone once all of its transfer is written off or repaid. No foreign keys: verify_books compares.
    payout_transfer_id bigint not null
    ledger_entry_id bigint not null
    constraint open_reversals_pkey PRIMARY KEY (payout_transfer_id, ledger_entry_id)
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.operator_actions, owner payout_owner -- Each act of an operator with its reason; also each stop that the engine made by itself, and each change of engine_settings or of a cap.
    operator_action_id bigint not null identity
    action text not null
    subject text
    reason text not null
    details jsonb not null default '{}'::jsonb
    acted_by text not null default SESSION_USER
    acted_at timestamp with time zone not null default now()
    expires_at timestamp with time zone -- Of a proposal: the time until which another person may approve it.
    proposal_id bigint -- Of an approval: the proposal.
    constraint operator_actions_pkey PRIMARY KEY (operator_action_id)
    constraint operator_actions_proposal_id_fkey FOREIGN KEY (proposal_id) REFERENCES payout.operator_actions(operator_action_id)
    constraint approvals_name_their_proposal CHECK (((action = 'approve'::text) = (proposal_id IS NOT NULL)))
    constraint proposals_expire CHECK (((action = 'propose'::text) = (expires_at IS NOT NULL)))
    constraint reason_is_given CHECK ((length(btrim(reason)) > 0))
    index operator_actions_expires_at_idx USING btree (expires_at) WHERE (expires_at IS NOT NULL)
    unique index operator_actions_proposal_id_key USING btree (proposal_id) WHERE (proposal_id IS NOT NULL)
    index operator_actions_subject_idx USING btree (subject, operator_action_id) WHERE (action = ANY (ARRAY['adopt_database'::text, 'change_setting'::text, 'change_cap'::text, 'add_currency'::text]))
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.outcomes, owner payout_owner -- Each change of a transfer's status, and each reversal, in the order in which the application reads them (payout_api.outcomes_since). Insert-only.
    outcome_id bigint not null identity -- The cursor of the application: drawn after the writer has announced itself.
    payout_transfer_id bigint not null
    status payout.payout_status not null
    reason text -- The code of a failure, of an end by operators, or of a wait for an account; null for every other status.
    hold_id bigint -- The hold that keeps it back, for status on_hold; its scope is the reason that is told.
    stripe_transfer_id text
    reversed_minor bigint not null default 0 -- The sum that Stripe has taken back so far, in minor units of the transfer's currency.
    changed_at timestamp with time zone not null default CURRENT_TIMESTAMP
    constraint outcomes_pkey PRIMARY KEY (outcome_id)
    index outcomes_payout_transfer_id_idx USING brin (payout_transfer_id int8_minmax_multi_ops)
    trigger _100_announce BEFORE INSERT FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_outcomes__announce(), always
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.paces, owner payout_owner -- How many requests a second all workers together make, as far as refusals have shown. Turns of that distance are handed out one after the other.
    kind text not null
    per_second numeric -- The pace that was found after Stripe refused requests for their rate; null: none is known, and engine_settings alone bounds it.
    refused_per_second numeric -- The pace that was used when Stripe refused last; null: it is not known, or it has been passed since without a refusal.
    refused_at timestamp with time zone -- The time of that refusal; requests that were handed out before it were made at the old pace.
    grown_at timestamp with time zone not null default now() -- The time at which the pace was last made faster.
    constraint paces_pkey PRIMARY KEY (kind)
    constraint kind_is_known CHECK ((kind = ANY (ARRAY['sends'::text, 'reads'::text])))
    constraint pace_is_positive CHECK (((per_second > (0)::numeric) AND (refused_per_second > (0)::numeric)))
    constraint refusal_has_its_time CHECK (((refused_at IS NULL) <= (refused_per_second IS NULL)))
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.payee_accounts, owner payout_owner -- The Stripe accounts of payees, as history: the newest row counts for each key that is claimed for the first time from then on; a request under a key keeps its account.
    payee_account_id bigint not null identity
    payee_id payout.external_id not null
    stripe_account_id text not null
    recorded_at timestamp with time zone not null default now()
    recorded_by text not null default SESSION_USER
    constraint payee_accounts_pkey PRIMARY KEY (payee_account_id)
    constraint payee_accounts_payee_id_fkey FOREIGN KEY (payee_id) REFERENCES payout.payees(payee_id)
    constraint stripe_account_id_looks_like_one CHECK (((stripe_account_id ~ '^acct_[A-Za-z0-9_]+$'::text) AND (length(stripe_account_id) <= 255)))
    index payee_accounts_payee_id_idx USING btree (payee_id, payee_account_id DESC) INCLUDE (stripe_account_id)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.payees, owner payout_owner -- The people and companies that settlements can owe money to. Never changed, never deleted.
    payee_id payout.external_id not null
    created_at timestamp with time zone not null default now()
    constraint payees_pkey PRIMARY KEY (payee_id)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.payout_jobs, owner payout_owner -- One row for each completed settlement: its payout was scheduled.
    payout_job_id bigint not null identity
    settlement_id payout.external_id not null
    created_at timestamp with time zone not null default CURRENT_TIMESTAMP
    constraint payout_jobs_pkey PRIMARY KEY (payout_job_id)
    constraint payout_jobs_settlement_id_key UNIQUE (settlement_id)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.payout_transfers, owner payout_owner -- One Stripe transfer that is owed: payee, amount and source, frozen when the settlement was completed.
    payout_transfer_id bigint not null identity
    payout_job_id bigint not null
    settlement_id payout.external_id not null
    payee_id payout.external_id not null
    source_transaction text
    amount_minor bigint not null -- Sum of the lines it pays, in minor units of currency.
    currency payout.currency_code not null
    payout_ref text not null -- Business identity: payout.payout_ref(installation, settlement, payee, source_transaction). The idempotency key is payout_ref plus the key generation; Stripe stores it as metadata.
    created_at timestamp with time zone not null default CURRENT_TIMESTAMP
    constraint payout_transfers_pkey PRIMARY KEY (payout_transfer_id)
    constraint payout_transfers_payout_ref_key UNIQUE (payout_ref)
    constraint payout_transfers_settlement_id_payee_id_source_transaction_key UNIQUE NULLS NOT DISTINCT (settlement_id, payee_id, source_transaction)
    index payout_transfers_payee_id_idx USING btree (payee_id)
    trigger _110_derive BEFORE INSERT FOR EACH ROW EXECUTE FUNCTION payout.tg_payout_transfers__derive(), always
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.reversed_transfers, owner payout_owner -- Transfers of ours that Stripe has reversed in full or in part, with the next look-up of their reversals until the books have them.
    stripe_transfer_id text not null
    amount_reversed_minor bigint not null -- The most that was seen reversed, in minor units of the transfer's currency.
    next_lookup_at timestamp with time zone -- The time to read its reversals; null: they are booked, or an operator must look.
    constraint reversed_transfers_pkey PRIMARY KEY (stripe_transfer_id)
    constraint amount_is_positive CHECK ((amount_reversed_minor > 0))
    index reversed_transfers_next_lookup_at_idx USING btree (next_lookup_at) WHERE (next_lookup_at IS NOT NULL)
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.seal_marks, owner payout_owner -- The tables that are sealed, and for each the id up to which it can be sealed once every transaction that ran when the mark was set has ended. The first row is the sealer's lock.
    table_name text not null
    marked_id bigint -- The newest id when the mark was set; null: no row.
    marked_xid xid8 -- Transactions from this id on began later; null: there is no mark yet.
    marked_at timestamp with time zone not null default now() -- The time at which the mark was set; sealing waits a minute.
    constraint seal_marks_pkey PRIMARY KEY (table_name)
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.seal_subtotals, owner payout_owner -- For each seal of ledger_entries the accounts that its range moved, with the sums of all that was booked on them up to its end; payable, without a payee, stands for all of them. Insert-only.
    account text not null
    currency payout.currency_code not null
    seal_id bigint not null
    debit_minor numeric not null -- Sum of all debits up to the end of the seal, in minor units of currency.
    credit_minor numeric not null -- Sum of all credits up to the end of the seal, in minor units of currency.
    debits bigint not null -- Number of those debits.
    credits bigint not null -- Number of those credits.
    constraint seal_subtotals_pkey PRIMARY KEY (account, currency, seal_id)
    constraint seal_subtotals_seal_id_fkey FOREIGN KEY (seal_id) REFERENCES payout.seals(seal_id)
    index seal_subtotals_seal_id_idx USING btree (seal_id)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.seals, owner payout_owner -- One chain over all sealed tables: each seal closes the next range of ids of one table and covers the hash of the seal before it. Insert-only.
    seal_id bigint not null -- Number in the chain, without gaps.
    seal_version integer not null -- The version of the content that the digests cover: 1 that of payout.sealed_rows_v1.
    table_name text not null
    first_id bigint not null -- The first id of the range: right after the former range of this table, gaps included.
    last_id bigint not null -- The last id of the range; no row up to it could still come.
    row_ids int8multirange not null -- The ids in the range that had a row.
    row_digests bytea not null -- The first 8 bytes of the digest of each of these rows, in order: they tell which row changed.
    rows_sha256 bytea not null -- SHA-256 of the whole digests of these rows, in order: it tells that none changed.
    rows_from timestamp with time zone -- The earliest time of a row in the range.
    rows_until timestamp with time zone -- The latest time of a row of this table up to the end of the range.
    sealed_at timestamp with time zone not null -- The time at which the range was closed.
    seal_sha256 bytea not null -- SHA-256 of the former seal's hash and the other columns of this one.
    constraint seals_pkey PRIMARY KEY (seal_id)
    constraint seals_table_name_last_id_key UNIQUE (table_name, last_id)
    constraint digests_have_eight_bytes_a_row CHECK (((octet_length(row_digests) % 8) = 0))
    constraint hashes_have_32_bytes CHECK (((octet_length(rows_sha256) = 32) AND (octet_length(seal_sha256) = 32)))
    constraint range_is_in_order CHECK ((first_id <= last_id))
    constraint seals_count_from_one CHECK ((seal_id >= 1))
    constraint version_is_known CHECK ((seal_version = 1))
    index seals_rows_until_idx USING btree (rows_until, last_id) WHERE (table_name = 'ledger_entries'::text)
    index seals_time_idx USING gist (tstzrange(rows_from, rows_until, '[)'::text)) WHERE (table_name = 'ledger_entries'::text)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.settlement_lines, owner payout_owner -- The parts of a settlement, which comes before them and, while pending, takes them along when it is deleted. Lines of one payee and source_transaction become one transfer.
    settlement_id payout.external_id not null
    line_id payout.external_id not null
    payee_id payout.external_id not null
    amount_minor payout.positive_minor not null -- Amount in the smallest unit of the settlement's currency (cents for usd, yen for jpy).
    source_transaction payout.source_transaction_id -- Stripe charge that funds the line; null: the platform's available balance.
    constraint settlement_lines_pkey PRIMARY KEY (settlement_id, line_id)
    constraint settlement_lines_settlement_id_fkey FOREIGN KEY (settlement_id) REFERENCES payout.settlements(settlement_id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _900_refuse_frozen_insert AFTER INSERT REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_settlement_lines__refuse_frozen()
    trigger _901_refuse_frozen_update_from AFTER UPDATE REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_settlement_lines__refuse_frozen(), always
    trigger _902_refuse_frozen_update_to AFTER UPDATE REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_settlement_lines__refuse_frozen(), always
    trigger _903_refuse_frozen_delete AFTER DELETE REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_settlement_lines__refuse_frozen(), always
    rights: delete, insert, select, update to payout_app; select to payout_auditor; select to payout_operator

table payout.settlements, owner payout_owner -- The amounts that the marketplace owes to payees, settled together. Editable while pending, frozen once complete; completing one schedules its payouts in the same transaction.
    settlement_id payout.external_id not null
    currency payout.currency_code not null
    total_minor payout.positive_minor not null -- Sum of the lines in minor units of the currency; the commit fails if they differ.
    state payout.settlement_state not null default 'pending'::text
    pay_after payout.moment -- The time before which nothing is sent; null: sent at once.
    metadata jsonb not null default '{}'::jsonb -- An object of texts that are copied into the metadata of each Stripe transfer, within its limits; judged when the settlement is completed.
    created_at timestamp with time zone not null default CURRENT_TIMESTAMP -- The time of the insert, unless its writer gives another; the engine reads it nowhere.
    constraint settlements_pkey PRIMARY KEY (settlement_id)
    trigger _500_refuse_frozen BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg_settlements__refuse_frozen(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _900_schedule_payout_job AFTER INSERT OR UPDATE DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((CURRENT_USER <> 'payout_owner'::name)) EXECUTE FUNCTION payout.tg_settlements__schedule_payout_job()
    rights: delete, insert, select, update to payout_app; select to payout_auditor; select to payout_operator

table payout.situations, owner payout_owner -- The situations that a transfer can be in: its state with all that bears on the next step, each with the words for it. payout_api.explained gives each transfer one.
    situation text not null
    whose_turn text not null
    for_seller text not null -- In words that the payee may read.
    for_operator text not null -- Follows the reason. {until}, {hold} and {why} stand for the time of the next step and the hold with its reason.
    next_call text -- The call that moves the transfer, with {transfer} and {hold} for the numbers; null: none does or needs to.
    constraint situations_pkey PRIMARY KEY (situation)
    constraint turn_is_of_a_known_party CHECK ((whose_turn = ANY (ARRAY['engine'::text, 'stripe'::text, 'payee'::text, 'operator'::text, 'nobody'::text])))
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.state_edges, owner payout_owner -- The only moves a transfer may make; a guard on transfer_states refuses every other one.
    from_state text not null
    to_state text not null
    why text not null
    constraint state_edges_pkey PRIMARY KEY (from_state, to_state)
    constraint state_edges_from_state_fkey FOREIGN KEY (from_state) REFERENCES payout.states(state)
    constraint state_edges_to_state_fkey FOREIGN KEY (to_state) REFERENCES payout.states(state)
    constraint edge_leads_elsewhere CHECK ((from_state <> to_state))
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.states, owner payout_owner -- The states of a transfer, each with its meaning.
    state text not null
    is_final boolean not null -- True when no move leads out of the state.
    entry_kind text -- The kind of ledger entry that a move to this state books; null: it books none.
    credit_account text -- The account that this entry credits; null: that of the payee. It debits in_flight, or the payee's account where the transfer had failed.
    status payout.payout_status not null -- The application's word for the state.
    status_on_hold payout.payout_status not null -- Its word while a hold keeps the transfer back; the same where Stripe may have been asked already, or nothing is to be sent.
    meaning text not null
    constraint states_pkey PRIMARY KEY (state)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.stripe_error_rules, owner payout_owner -- The meaning of an answer that is no success, as data: the first rule in order of its id that fits counts; a null column fits everything.
    error_rule_id integer not null
    signal text not null
    http_status_from integer
    http_status_to integer
    error_type text
    error_code text
    error_param text -- The parameter that the error names; null fits any.
    is_replayed boolean
    should_retry text -- Stripe-Should-Retry; null fits any.
    is_rate_limited boolean -- True: fits an answer with Stripe-Rate-Limited-Reason; false: without; null: fits both.
    reaction text not null -- retry: surely not executed, same key; decline: money back to the payee, if Stripe saved the answer or nothing else can have had an effect under the key, else park; unknown: perhaps executed, same key, and the doubt stays; park: wait for an operator or a look-up in Stripe's list; pause: hold the worker or the engine; absent: proved absent, money back to the payee and a new key.
    sends_to_believe integer not null default 1 -- A decline that Stripe does not save counts once so many sends under the key got it: had the first one been executed, the second would be answered with its transfer.
    is_alarm boolean not null default false
    is_counted_try boolean not null default true -- False: the request was surely not processed, so that it costs no try.
    awaits text -- A decline that later passes by itself: the currency waits for funds, or the payee for an account that takes transfers, and then a new key is opened; null: it does not pass.
    payees_to_pause integer -- Once so many payees get it from a worker since it last paid, it is the Stripe key that is refused, as with reaction pause; null: never.
    wait_at_least interval not null default '00:00:00'::interval -- The shortest wait before the next step.
    wait_base interval not null default '00:00:01'::interval
    wait_cap interval not null default '00:15:00'::interval
    reason text not null
    advice text not null -- The next step for an operator, shown beside the reason.
    constraint stripe_error_rules_pkey PRIMARY KEY (error_rule_id)
    constraint a_send_is_needed_to_believe CHECK ((sends_to_believe > 0))
    constraint only_a_decline_waits CHECK (((awaits IS NULL) OR ((reaction = 'decline'::text) AND (awaits = ANY (ARRAY['funds'::text, 'account'::text])))))
    constraint reaction_is_known CHECK ((reaction = ANY (ARRAY['retry'::text, 'decline'::text, 'unknown'::text, 'park'::text, 'pause'::text, 'absent'::text])))
    constraint several_payees_pause CHECK ((payees_to_pause > 1))
    constraint should_retry_is_stripes_header CHECK ((should_retry = ANY (ARRAY['true'::text, 'false'::text])))
    constraint signal_is_known CHECK ((signal = ANY (ARRAY['response'::text, 'unreadable'::text, 'no_response'::text, 'not_sent'::text, 'lease_expired'::text, 'key_expired'::text, 'looked_up'::text])))
    constraint status_range_is_whole CHECK ((((http_status_from IS NULL) = (http_status_to IS NULL)) AND (http_status_from <= http_status_to)))
    constraint waits_are_in_order CHECK (((wait_at_least >= '00:00:00'::interval) AND (wait_base > '00:00:00'::interval) AND (wait_cap >= wait_base)))
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.stripe_read_pages, owner payout_owner -- A page of a read that was taken. Its objects are in listed_transfers and discrepancies, as far as they say something new. Insert-only.
    read_id bigint not null
    page_number integer not null
    parameters jsonb not null -- The parameters of the request that it answers.
    has_more boolean not null
    stripe_transfer_ids text[] not null default '{}'::text[] -- Of a comparison: the transfers that the page named.
    kept jsonb not null default '[]'::jsonb -- The objects that are judged at the end of the read: of a look-up, possible matches (payout.stripe_transfer, and why); of reversals, all of them; of a comparison, the kind and the transfer of each discrepancy.
    received_at timestamp with time zone not null -- The time at which a worker reported it.
    constraint stripe_read_pages_pkey PRIMARY KEY (read_id, page_number)
    constraint stripe_read_pages_read_id_parameters_key UNIQUE (read_id, parameters)
    constraint stripe_read_pages_read_id_fkey FOREIGN KEY (read_id) REFERENCES payout.stripe_reads(read_id)
    constraint pages_count_from_one CHECK ((page_number >= 1))
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.stripe_reads, owner payout_owner -- Every read of one of Stripe's lists, and how far it has come. A page is taken only with a token that claim_reads told.
    read_id bigint not null identity
    kind text not null
    path text not null
    queries jsonb not null -- The parameters of each query, in order; together they list all there can be.
    payout_transfer_id bigint
    stripe_transfer_id text
    worker text not null -- The worker that began it; others may have gone on with it.
    begun_at timestamp with time zone not null -- A time before the first request to Stripe.
    books_from timestamp with time zone -- A comparison expects the transfers that were sent and paid here between this time and begun_at.
    system_identifier bigint default (payout.database_identity()).system_identifier -- With the next three: the identity of the database that began it, as in payout.adoptions.
    timeline_id integer default (payout.database_identity()).timeline_id
    database_oid oid default (payout.database_identity()).database_oid
    table_oid oid default (payout.database_identity()).table_oid
    server_started_at timestamp with time zone default pg_postmaster_start_time() -- The start of the server under which it was begun; only under the same it allows claims.
    adoption_id bigint -- The newest of payout.adoptions when the read was begun; null: there was none.
    token_sha256s bytea[] not null default '{}'::bytea[] -- SHA-256 of the secret that each of the newest claims of it was told.
    next_parameters jsonb -- The parameters of the page that comes next; null: it is read to its end.
    objects_seen bigint not null default 0
    objects_expected bigint not null default 0 -- Transfers that the books had as paid within the time that a comparison covers.
    objects_found bigint not null default 0 -- Transfers found by a look-up, reversals booked, transfers of which events told more reversed, or discrepancies of a comparison, of all or of the newest.
    not_ours jsonb not null default '{}'::jsonb -- Of a comparison, of all or of the newest, or of events: how many transfers each rule of not_ours_rules explained.
    newest_created_at timestamp with time zone -- The newest time of creation that Stripe has shown in this read or those before it, by Stripe's clock; the next read of the kind begins a day before, of the newest an hour.
    result text -- One line for people, at the end of the read.
    is_alarm boolean not null default false
    finished_at timestamp with time zone
    abandoned_at timestamp with time zone -- The time at which it was given up: it no longer counted for this database.
    constraint stripe_reads_pkey PRIMARY KEY (read_id)
    constraint stripe_reads_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id)
    constraint counts_are_not_negative CHECK (((objects_seen >= 0) AND (objects_expected >= 0) AND (objects_found >= 0)))
    constraint finished_asks_no_more CHECK (((finished_at IS NULL) OR ((next_parameters IS NULL) AND (result IS NOT NULL))))
    constraint kind_is_known CHECK ((kind = ANY (ARRAY['lookup'::text, 'reversals'::text, 'newest'::text, 'events'::text, 'comparison'::text])))
    constraint lookup_names_its_transfer CHECK (((kind = 'lookup'::text) = (payout_transfer_id IS NOT NULL)))
    constraint read_is_finished_or_abandoned CHECK (((finished_at IS NULL) OR (abandoned_at IS NULL)))
    constraint reversals_name_their_transfer CHECK (((kind = 'reversals'::text) = (stripe_transfer_id IS NOT NULL)))
    index stripe_reads_kind_finished_idx USING btree (kind, read_id) WHERE (finished_at IS NOT NULL)
    unique index stripe_reads_one_goes_on_key USING btree (kind) WHERE ((kind = ANY (ARRAY['newest'::text, 'events'::text, 'comparison'::text])) AND (finished_at IS NULL) AND (abandoned_at IS NULL))
    index stripe_reads_payout_transfer_id_idx USING btree (payout_transfer_id) WHERE (payout_transfer_id IS NOT NULL)
    index stripe_reads_read_id_idx USING btree (read_id) WHERE (kind = 'comparison'::text)
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_rewrite BEFORE UPDATE FOR EACH ROW WHEN (((old.read_id IS DISTINCT FROM new.read_id) OR (old.kind IS DISTINCT FROM new.kind) OR (old.path IS DISTINCT FROM new.path) OR (old.queries IS DISTINCT FROM new.queries) OR (old.payout_transfer_id IS DISTINCT FROM new.payout_transfer_id) OR (old.stripe_transfer_id IS DISTINCT FROM new.stripe_transfer_id) OR (old.worker IS DISTINCT FROM new.worker) OR (old.begun_at IS DISTINCT FROM new.begun_at) OR (old.books_from IS DISTINCT FROM new.books_from) OR (old.system_identifier IS DISTINCT FROM new.system_identifier) OR (old.timeline_id IS DISTINCT FROM new.timeline_id) OR (old.database_oid IS DISTINCT FROM new.database_oid) OR (old.table_oid IS DISTINCT FROM new.table_oid) OR (old.server_started_at IS DISTINCT FROM new.server_started_at) OR (old.adoption_id IS DISTINCT FROM new.adoption_id) OR (old.finished_at IS NOT NULL))) EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.transfer_attempts, owner payout_owner -- Every claim, committed before anything is sent under it.
    payout_transfer_id bigint not null
    generation integer not null
    attempt integer not null
    worker text not null -- The name the claiming process gave itself.
    window_begins_at timestamp with time zone not null -- The time from which the send window of its key is counted.
    claimed_at timestamp with time zone not null
    lease_until timestamp with time zone not null -- The time until which this claim held the transfer, unless it was reported before.
    claim_token_sha256 bytea not null -- SHA-256 of the secret that only this claim was told; a report without it is refused.
    constraint transfer_attempts_pkey PRIMARY KEY (payout_transfer_id, attempt)
    constraint transfer_attempts_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id)
    constraint claim_token_has_a_digest CHECK ((octet_length(claim_token_sha256) = 32))
    constraint lease_ends_after_the_claim CHECK ((lease_until > claimed_at))
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.transfer_observations, owner payout_owner -- Every answer, timeout, look-up, expiry, key and act of a transfer, accepted or not; a report of another claim is none. Insert-only.
    observation_id bigint not null identity
    payout_transfer_id bigint not null
    generation integer not null
    attempt integer not null
    signal text not null -- The kind of observation: a readable answer, an unreadable one, none, surely nothing sent, a lease or a key that expired, a look-up, another key, or an act of an operator.
    verdict text not null -- ok: it counted; already: known before; stale: too late to count; alarm: an operator must look.
    moved_to payout.transfer_state -- The state it led to; null: no move.
    reason text
    error_rule_id integer
    http_status integer
    error_type text
    error_code text
    is_replayed boolean
    stripe_transfer_id text
    stripe_request_id text
    facts jsonb not null default '{}'::jsonb -- The other parts of the report.
    observed_at timestamp with time zone not null default now()
    is_counted_try boolean not null default false -- True: it counted against engine_settings.max_tries.
    has_unknown_send boolean not null default false -- True: a send under the key may have been executed from then on.
    next_attempt_at timestamp with time zone -- The time for the next step, as decided then; null: not by itself.
    constraint transfer_observations_pkey PRIMARY KEY (observation_id)
    constraint transfer_observations_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id)
    constraint http_status_has_three_digits CHECK (((http_status >= 0) AND (http_status <= 999)))
    constraint signal_is_known CHECK ((signal = ANY (ARRAY['response'::text, 'unreadable'::text, 'no_response'::text, 'not_sent'::text, 'lease_expired'::text, 'key_expired'::text, 'looked_up'::text, 'key_opened'::text, 'retry'::text, 'approve_absence'::text, 'park'::text, 'give_up'::text, 'cancel'::text, 'settle_outside'::text])))
    constraint verdict_is_known CHECK ((verdict = ANY (ARRAY['ok'::text, 'already'::text, 'stale'::text, 'alarm'::text])))
    index transfer_observations_payout_transfer_id_idx USING btree (payout_transfer_id, attempt)
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.transfer_requests, owner payout_owner -- The request under each idempotency key of a transfer, frozen by the first claim under that key, with the payee's account of that moment.
    payout_transfer_id bigint not null
    generation integer not null
    destination text not null -- The Stripe account that is paid.
    request jsonb not null -- The parameters of POST /v1/transfers, sent exactly as stored.
    request_sha256 bytea not null stored as payout.json_sha256(request) -- Digest of request.
    reason text -- The reason why the former key was given up; null: this is the first.
    evidence_observation_id bigint -- The accepted decline, or the act of two people, that closed the former generation; or the first scan of Stripe's list that found nothing.
    second_evidence_observation_id bigint -- The look at Stripe's list after that, or the second scan; null where one scan of a transfer that never left was the evidence.
    frozen_at timestamp with time zone not null default now()
    transfer_request_id bigint not null identity -- Number in the order in which requests were frozen, for seals.
    constraint transfer_requests_pkey PRIMARY KEY (payout_transfer_id, generation)
    constraint transfer_requests_transfer_request_id_key UNIQUE (transfer_request_id)
    constraint transfer_requests_evidence_observation_id_fkey FOREIGN KEY (evidence_observation_id) REFERENCES payout.transfer_observations(observation_id)
    constraint transfer_requests_payout_transfer_id_fkey FOREIGN KEY (payout_transfer_id) REFERENCES payout.payout_transfers(payout_transfer_id)
    constraint transfer_requests_second_evidence_observation_id_fkey FOREIGN KEY (second_evidence_observation_id) REFERENCES payout.transfer_observations(observation_id)
    constraint destination_is_a_stripe_account CHECK (starts_with(destination, 'acct_'::text))
    constraint evidence_comes_in_order CHECK ((second_evidence_observation_id > evidence_observation_id))
    constraint further_key_has_reason_and_evidence CHECK (((generation > 1) = ((reason IS NOT NULL) AND (evidence_observation_id IS NOT NULL))))
    constraint generation_counts_from_one CHECK ((generation >= 1))
    constraint request_names_the_destination CHECK ((NOT ((request ->> 'destination'::text) IS DISTINCT FROM destination)))
    trigger _500_refuse_change BEFORE DELETE OR UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

table payout.transfer_states, owner payout_owner with {fillfactor=70} -- The progress of each transfer: the one table that changes while money moves. It can be rebuilt from attempts and observations.
    payout_transfer_id bigint not null
    state payout.transfer_state not null default 'scheduled'::text
    generation integer not null default 1 -- The number of the idempotency key that counts, which is payout_ref plus this number.
    attempt integer not null default 0 -- Number of the newest claim, over all generations; with generation and token the fence.
    lease_until timestamp with time zone -- The time until which the claiming worker alone may send this transfer.
    next_attempt_at timestamp with time zone -- The time at which the engine acts next by itself; null: it does not, or its payee has no account yet.
    stripe_transfer_id text
    window_begins_at timestamp with time zone -- The time at which it was due for its first claim under the key; the send window begins then.
    tries integer not null default 0 -- Claims of this generation that count against engine_settings.max_tries and lengthen the wait.
    has_unknown_send boolean not null default false -- True when some send of this generation may have been executed: then `surely not executed` about a later one settles nothing.
    reason text -- The reason for its state, in one short phrase.
    wakeup_id bigint -- The wake-up job that was queued for it. No foreign key: the queue may be emptied at any time.
    changed_at timestamp with time zone not null default CURRENT_TIMESTAMP
    next_lookup_at timestamp with time zone -- The time of the next look-up at Stripe: while it is parked, before a new key, or before a late first send; null: none is planned.
    hold_id bigint -- An open hold under which a sweep found it due: it leaves the index of due transfers until that hold is released. Null does not mean that it is on no hold.
    constraint transfer_states_pkey PRIMARY KEY (payout_transfer_id)
    index transfer_states_changed_at_idx USING btree (changed_at) WHERE ((state)::text = ANY (ARRAY['parked'::text, 'failed'::text]))
    index transfer_states_hold_id_idx USING btree (hold_id, next_attempt_at) WHERE (hold_id IS NOT NULL)
    index transfer_states_lease_until_idx USING btree (lease_until) WHERE (lease_until IS NOT NULL)
    index transfer_states_next_attempt_at_again_idx USING btree (next_attempt_at) WHERE ((next_attempt_at IS NOT NULL) AND ((state)::text = ANY (ARRAY['retry_wait'::text, 'unknown'::text, 'failed'::text])))
    index transfer_states_next_attempt_at_idx USING btree (next_attempt_at) WHERE ((next_attempt_at IS NOT NULL) AND (hold_id IS NULL))
    index transfer_states_next_lookup_at_idx USING btree (next_lookup_at) WHERE (next_lookup_at IS NOT NULL)
    unique index transfer_states_stripe_transfer_id_key USING btree (stripe_transfer_id) WHERE (stripe_transfer_id IS NOT NULL)
    index transfer_states_undated_idx USING btree (changed_at) WHERE ((next_attempt_at IS NULL) AND (hold_id IS NULL) AND (lease_until IS NULL) AND ((state)::text = ANY (ARRAY['scheduled'::text, 'in_flight'::text, 'retry_wait'::text, 'unknown'::text])))
    trigger _500_check_start BEFORE INSERT FOR EACH ROW EXECUTE FUNCTION payout.tg_transfer_states__check_start(), always
    trigger _500_move BEFORE UPDATE FOR EACH ROW WHEN (((old.state)::text IS DISTINCT FROM (new.state)::text)) EXECUTE FUNCTION payout.tg_transfer_states__move(), always
    trigger _500_refuse_delete BEFORE DELETE FOR EACH ROW EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    trigger _511_check_progress BEFORE UPDATE FOR EACH ROW EXECUTE FUNCTION payout.tg_transfer_states__check_progress(), always
    trigger _900_tell_status AFTER UPDATE REFERENCING OLD TABLE AS former NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION payout.tg_transfer_states__tell_status(), always
    rights: select to payout_auditor; select to payout_operator

table payout.workers, owner payout_owner -- Each worker process of the last week, with its release and its last heartbeat. Nothing in the engine depends on it: it is for the doctor and for people.
    worker text not null -- The name that the process gave itself: that of its attempts and reads.
    release text not null -- The version of the package that it runs.
    started_at timestamp with time zone not null default clock_timestamp() -- The time of its first heartbeat.
    last_seen_at timestamp with time zone not null default clock_timestamp() -- The time of its last heartbeat.
    has_ended boolean not null default false -- Whether its last heartbeat said that it ends; a process that was killed says nothing.
    measured_at timestamp with time zone -- The time at which it last read the gauges, as one worker at a time does; null: never.
    constraint workers_pkey PRIMARY KEY (worker)
    trigger _500_refuse_truncate BEFORE TRUNCATE FOR EACH STATEMENT EXECUTE FUNCTION payout.tg__refuse_change(), always
    rights: select to payout_auditor; select to payout_operator

view payout_api.discrepancies, body 5351e710dbf7, owner payout_owner -- One row for each open discrepancy: both sides (ours and theirs) and their amounts in the currency itself, its time, the read that found it, and the next step with the calls that end it.
    discrepancy_id bigint
    kind text
    settlement_id text
    payout_transfer_id bigint
    stripe_transfer_id text
    currency text
    our_amount numeric
    their_amount numeric
    ours jsonb
    theirs jsonb
    since timestamp with time zone
    found_by_read_id bigint
    what_to_do text
    rights: select to payout_auditor; select to payout_operator

view payout_api.error_codes, body ee241c519732, owner payout_owner -- SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish quietly. SP3xx: a bad argument, the caller's bug. SP4xx: not now, try later.
    sqlstate text
    meaning text
    reaction text
    rights: select to payout_app; select to payout_approver; select to payout_auditor; select to payout_operator; select to payout_worker

view payout_api.explained, body aec634be4e6a, owner payout_owner -- One row for each transfer: destination (before the first send the payee's present account), amount in the currency itself, state, reason, Stripe's own sentence if it refused, since when, whose turn it is, when the engine acts next by itself, the next step in words, the call that moves it, and the words for the payee.
    payout_transfer_id bigint
    settlement_id payout.external_id
    payee_id payout.external_id
    destination text
    amount numeric
    amount_minor bigint
    currency payout.currency_code
    state payout.transfer_state
    reason text
    stripe_said text
    since timestamp with time zone
    situation text
    whose_turn text
    next_attempt_at timestamp with time zone
    advice text
    next_call text
    for_seller text
    payout_ref text
    generation integer
    attempt integer
    rights: select to payout_approver; select to payout_auditor; select to payout_operator

view payout_api.gauges, body a4c9b70b366a, owner payout_owner -- Names, meanings, labels and values of gauges: open transfers and their money, by state, currency and reason, those that are due, holds and waits, open discrepancies, proposals, leases, workers.
    metric text
    meaning text
    labels jsonb
    value double precision
    rights: select to payout_auditor; select to payout_operator

view payout_api.installation, body bf42b4d05e75, owner payout_owner -- One row: the release, the Stripe account and mode, the newest seal, the workers that are alive, and the last comparison of all transfers that finished.
    taken_at timestamp with time zone
    database_name name
    login name
    release text
    installation_id text
    stripe_account_id text
    is_livemode boolean
    seal_head text
    sealed_at timestamp with time zone
    workers_alive bigint
    compared_at timestamp with time zone
    transfers_compared bigint
    rights: select to payout_auditor; select to payout_operator

view payout_api.ledger_balances, body 2e1cd38f9357, owner payout_owner -- Credit minus debit of each general account and currency, in the currency itself and in minor units, the number of debits and of credits, and the meaning of the account: payable is that of all payees. payout_api.balances_as_of('infinity', payee_id) has the balance of one payee.
    account text
    currency payout.currency_code
    debit numeric
    credit numeric
    balance numeric
    debit_minor numeric
    credit_minor numeric
    balance_minor numeric
    debits bigint
    credits bigint
    meaning text
    rights: select to payout_auditor; select to payout_operator

view payout_api.not_ours, body c70046f70423, owner payout_owner -- One row for each rule by which transfers at Stripe are not ours: its conditions and reason, the last comparison that met such transfers and their number, and the discrepancies that it resolved.
    rule_id bigint
    created_before timestamp with time zone
    metadata_key text
    destination text
    is_everything boolean
    reason text
    recorded_by text
    recorded_at timestamp with time zone
    ended_at timestamp with time zone
    last_read_id bigint
    transfers_in_last_read bigint
    discrepancies_resolved bigint
    rights: select to payout_auditor; select to payout_operator

view payout_api.open_transfers, body cc70e27a9f02, owner payout_owner -- The rows of transfer_states that are not paid, cancelled or settled outside.
    payout_transfer_id bigint
    state payout.transfer_state
    generation integer
    attempt integer
    lease_until timestamp with time zone
    next_attempt_at timestamp with time zone
    stripe_transfer_id text
    window_begins_at timestamp with time zone
    tries integer
    has_unknown_send boolean
    reason text
    wakeup_id bigint
    changed_at timestamp with time zone
    next_lookup_at timestamp with time zone
    hold_id bigint
    rights: select to payout_approver; select to payout_auditor; select to payout_operator

view payout_api.overview, body ed5482f12fd7, owner payout_owner -- Transfers by state and currency; amount in the currency itself, amount_minor in minor units. oldest_since is null for final states.
    state payout.transfer_state
    currency payout.currency_code
    transfers bigint
    amount numeric
    amount_minor numeric
    oldest_since timestamp with time zone
    next_attempt_at timestamp with time zone
    rights: select to payout_auditor; select to payout_operator

view payout_api.overview_by_age, body 5627fe71f7ec, owner payout_owner -- Transfers by state, currency and age: since_at_least is 0, an hour, a day or seven days, the time for which each has been in its state, up to the next of these; null for final states.
    state payout.transfer_state
    currency payout.currency_code
    since_at_least interval
    transfers bigint
    amount numeric
    amount_minor numeric
    oldest_since timestamp with time zone
    next_attempt_at timestamp with time zone
    rights: select to payout_auditor; select to payout_operator

view payout_api.payees_owed, body 190649a860ad, owner payout_owner -- One row for each payee and currency in which declined transfers or reversed money are owed: balance in the currency itself, rank among the payees of that currency.
    currency payout.currency_code
    payee_id payout.external_id
    balance numeric
    rank bigint
    rights: select to payout_auditor; select to payout_operator

view payout_api.payout_status, body eac11abed58f, owner payout_owner -- One row for each transfer of a complete settlement: status (scheduled, waiting_for_account, sending, paid, on_hold, failed, cancelled or settled_outside), the code of the reason where there is one, and the sum that Stripe took back, in minor units. Fast for one settlement or payee.
    settlement_id payout.external_id
    payee_id payout.external_id
    source_transaction text
    amount_minor bigint
    currency payout.currency_code
    status text
    reason text
    stripe_transfer_id text
    pay_after payout.moment
    paid_at timestamp with time zone
    reversed_minor bigint
    changed_at timestamp with time zone
    rights: select to payout_app; select to payout_auditor; select to payout_operator

view payout_api.proposals, body fdaa5629ac48, owner payout_owner -- One row for each proposal that nobody has approved and that has not expired, with the call by which another login approves it.
    action_id bigint
    verb text
    subject text
    reason text
    details jsonb
    proposed_by text
    proposed_at timestamp with time zone
    expires_at timestamp with time zone
    what_to_do text
    rights: select to payout_approver; select to payout_auditor; select to payout_operator

view payout_api.reconcile_progress, body acae0aa18645, owner payout_owner -- One row for each comparison: the time from which Stripe made the transfers (null: all), the pages and transfers seen so far, the number that these books expected, the number of its discrepancies, and that of the transfers that are not ours by a rule.
    read_id bigint
    progress text
    worker text
    begun_at timestamp with time zone
    ended_at timestamp with time zone
    created_from timestamp with time zone
    pages bigint
    last_page_at timestamp with time zone
    transfers_seen bigint
    transfers_expected bigint
    discrepancies_found bigint
    transfers_not_ours numeric
    rights: select to payout_auditor; select to payout_operator

view payout_api.reversed_money, body 3abcef971551, owner payout_owner -- One row for each paid transfer of which Stripe took more back than has been written off or repaid: open_minor is owed to the payee again, with the calls that end it.
    payout_transfer_id bigint
    settlement_id payout.external_id
    payee_id payout.external_id
    currency payout.currency_code
    amount_minor bigint
    reversed_minor bigint
    closed_minor bigint
    open_minor bigint
    since timestamp with time zone
    stripe_transfer_id text
    what_to_do text
    rights: select to payout_auditor; select to payout_operator

view payout_api.sealed_rows, body 6d4afcbed8b1, owner payout_owner -- The rows that seals cover, with the content whose digest they keep: payout_api.verify_seals() compares.
    table_name text
    row_id bigint
    row_at timestamp with time zone
    content jsonb
    rights: select to payout_auditor; select to payout_operator

view payout_api.seen_at_stripe, body 54d219b191d5, owner payout_owner -- One row for each observation, accepted or not, that tells of the transfer at Stripe.
    payout_transfer_id bigint
    observation_id bigint
    rights: select to payout_auditor; select to payout_operator

view payout_api.trial_balance, body c44a86db9552, owner payout_owner -- Per currency: difference_minor is zero, and in_flight_minor equals open_transfers_minor, the sum of the transfers that are neither paid, failed nor cancelled. Anything else is a bug.
    currency payout.currency_code
    debit_minor numeric
    credit_minor numeric
    difference_minor numeric
    in_flight_minor numeric
    open_transfers_minor numeric
    rights: select to payout_auditor; select to payout_operator

view payout_api.unpaid, body cebdf41dda51, owner payout_owner -- One row for each transfer that is not paid, as payout_api.explained has it: state, reason, since when, whose turn it is, when the engine acts next by itself, and the next step.
    payout_transfer_id bigint
    settlement_id payout.external_id
    payee_id payout.external_id
    destination text
    amount numeric
    amount_minor bigint
    currency payout.currency_code
    state payout.transfer_state
    reason text
    stripe_said text
    since timestamp with time zone
    situation text
    whose_turn text
    next_attempt_at timestamp with time zone
    advice text
    next_call text
    for_seller text
    payout_ref text
    generation integer
    attempt integer
    rights: select to payout_auditor; select to payout_operator

view payout_api.unpaid_by_reason, body 891661e31303, owner payout_owner -- One row for each state, reason and currency of transfers that are not paid, those that a sweep found on hold apart: their number and amount, the oldest time, and situation, turn, advice and call of the first of them, as payout_api.explained has it.
    state payout.transfer_state
    reason text
    currency payout.currency_code
    transfers bigint
    amount numeric
    amount_minor numeric
    oldest_since timestamp with time zone
    first_transfer_id bigint
    situation text
    whose_turn text
    advice text
    next_call text
    rights: select to payout_auditor; select to payout_operator

view payout_api.workers, body a965a2c6f037, owner payout_owner -- One row for each worker process of the last week: is_alive while its last heartbeat is less than a minute old and did not say that it ends, is_on_hold once Stripe refused its key.
    worker text
    release text
    started_at timestamp with time zone
    last_seen_at timestamp with time zone
    is_alive boolean
    is_on_hold boolean
    rights: select to payout_auditor; select to payout_operator

function payout.absence_counts_from(p_payout_transfer_id bigint) returns timestamp with time zone, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 58fa3f655d8d -- The time at which everything that was ever sent for a transfer is over; null: it cannot be known.
function payout.act(p_verb text, p_payout_transfer_ids bigint[], p_reason text, p_preview boolean, p_details jsonb DEFAULT '{}'::jsonb, p_takes_two boolean DEFAULT false) returns SETOF payout.act_result, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 1756f17f0e4b -- One row for each transfer; a preview changes nothing; an act that takes two is proposed.
function payout.act_problem(p_signal text, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) returns text, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 17aa2edc8e69 -- A sentence, or already; null: it can be done.
function payout.adopt(p_reason text, p_without_reconcile boolean, p_preview boolean DEFAULT false) returns text, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 029a043ff4a7 -- Adopts the database under its present identity once a comparison that began within the last hour has finished, or without one: done, already or preview.
function payout.adopt_at_first_claim(p_payout_transfer_ids bigint[]) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 08caba92f982 -- Records the identity of a new installation, once it hands out any of these transfers.
function payout.backoff(p_rule payout.stripe_error_rules, p_tries integer) returns interval, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 444bad0dac65 -- The rule's floor plus a random part of its base, doubled for each earlier try up to its cap.
function payout.begin_account_waits(p_settlement_id text) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 8e26617d91b7 -- Writes a row of account_waits, and an outcome, for each transfer of the settlement without a date.
function payout.begin_due_reads(p_kind text, p_worker text, p_limit integer) returns bigint[], plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body afbab2439dc9 -- Begins up to p_limit reads of kind lookup or reversals and returns them.
function payout.begin_list(p_kind text, p_worker text) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 7b0665703949 -- Begins a read, unless one is open.
function payout.begin_wait(p_scope text, p_subject text, p_reason text, p_awaits text, p_goes_on_at timestamp with time zone, p_notifies boolean) returns bigint, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 0fa4b9fb7940 -- Places a wait unless there is one, notes it in operator_actions, returns its hold_id; null: it ends this moment, or may.
function payout.bind_stripe_account(p_stripe_account_id text, p_is_livemode boolean) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 8039d34f66cc -- Fixes the first Stripe account and mode that a caller names; refuses every other (SP404).
function payout.book_reversals(p_transfer payout.payout_transfers, p_reversals jsonb) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 36c368ee955b -- Books reversals that are not booked yet, with one outcome for all; returns their number.
function payout.booked_states(p_from bigint, p_to bigint) returns TABLE(payout_transfer_id bigint, place text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 2df911507983 -- For each transfer from p_from to p_to the account, amount in minor units and currency that its ledger entries leave it at, reversals aside.
function payout.can_notify() returns boolean, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f4f90f0de920 -- True until the queue of NOTIFY is nearly full.
function payout.catalogue() returns TABLE(object text, definition text, deparsed text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp; bytea_output=hex; IntervalStyle=postgres; quote_all_identifiers=off, rights: none, body 8b54177e6721 -- Relations, columns, constraints, indexes, triggers, rules, policies, functions, types, event triggers, rights, roles and reference rows of the engine; deparsed is null where definition says it all.
function payout.catalogue_functions() returns TABLE(object text, definition text, deparsed text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body ea101cee99c8 -- Part of payout.catalogue().
function payout.catalogue_relations() returns TABLE(object text, definition text, deparsed text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f6518f89fecb -- Part of payout.catalogue().
function payout.catalogue_rights() returns TABLE(object text, definition text, deparsed text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 976d7c0acac1 -- Part of payout.catalogue().
function payout.catalogue_rows() returns TABLE(object text, definition text, deparsed text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body c89aa6615bfe -- Part of payout.catalogue().
function payout.catalogue_rules() returns TABLE(object text, definition text, deparsed text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 3eb9de755036 -- Part of payout.catalogue().
function payout.change_of_account(p_payee_id text) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 4a00eadf4951 -- Has a payee that waits for its account tried at once, and lets new transfers wait for engine_settings.account_change_waits_for.
function payout.check_acts(p_from bigint, p_to bigint) returns TABLE(check_name text, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 55f27bc10547 -- Part of payout_api.verify_books().
function payout.check_books() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 7818479bcc40 -- Part of payout_api.doctor().
function payout.check_catalogue() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 9c3d464e8fbf -- Part of payout_api.doctor().
function payout.check_entries(p_from bigint, p_to bigint) returns TABLE(check_name text, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f841699d7e01 -- Part of payout_api.verify_books().
function payout.check_holds() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 80ab397c7211 -- Part of payout_api.doctor().
function payout.check_identity(p_stripe_account_id text, p_is_livemode boolean) returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 55e58abc7400 -- Part of payout_api.doctor().
function payout.check_logins() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body cd96d5e4e9dc -- Part of payout_api.doctor().
function payout.check_numbers() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body e850d522e399 -- Part of payout_api.doctor().
function payout.check_projection(p_from bigint, p_to bigint) returns TABLE(payout_transfer_id bigint, column_name text, stored text, folded text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 263c38fb8585 -- Part of payout_api.verify_projection().
function payout.check_queue() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 71738f02807d -- Part of payout_api.doctor().
function payout.check_queue_code() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 9234fa0a7880 -- Part of payout_api.doctor().
function payout.check_references(p_from bigint, p_to bigint) returns TABLE(check_name text, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body bf02cc9c4167 -- Part of payout_api.verify_books().
function payout.check_rules(p_from bigint, p_to bigint) returns TABLE(check_name text, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 9340d96a44e9 -- Part of payout_api.verify_books().
function payout.check_seal(p_seal payout.seals) returns TABLE(table_name text, row_id bigint, seal_id bigint, what text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body a4bb271ec47e -- One row for each difference: in the seal itself, in the rows, in the sub-totals.
function payout.check_seal_rows(p_seal payout.seals) returns TABLE(row_id bigint, what text), plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 30cb131cfd65 -- Rows that were altered, removed or slipped in; none: all is well.
function payout.check_seals() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body a09eabc88f22 -- Part of payout_api.doctor().
function payout.check_secrets(p_from bigint, p_to bigint) returns TABLE(check_name text, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 942dea923419 -- Part of payout_api.verify_books().
function payout.check_server() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 85b8c5b27d10 -- Part of payout_api.doctor().
function payout.check_settlements(p_from text, p_to text) returns TABLE(check_name text, detail text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 807881ab94d2 -- Part of payout_api.verify_settlements().
function payout.check_transactions() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f85e29fc29e7 -- Part of payout_api.doctor().
function payout.check_upkeep() returns TABLE(check_name text, is_ok boolean, detail text, hint text), sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 4a44d7ba6dd8 -- Part of payout_api.doctor().
function payout.clock() returns timestamp with time zone, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body e0f258dd0f13 -- Now, by the database's clock, which goes on within a transaction.
function payout.clock_differs(p_stripe_now timestamp with time zone) returns boolean, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body bbf0b7de85c8 -- True when the clock is more than five minutes from the time at Stripe; false if that is not known.
function payout.close_reversed(p_verb text, p_payee_id text, p_currency text, p_payout_transfer_ids bigint[], p_amount_minor bigint, p_reason text, p_preview boolean) returns SETOF payout.act_result, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 68711a04021e -- Books p_amount_minor of these transfers of a payee as write_off entries; one row for each transfer. A preview changes nothing, and says if another person has to approve.
function payout.compare_listed_transfers(p_listed payout.stripe_transfer[], p_objects jsonb) returns payout.discrepancy[], plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d4f80c320ebc -- A listed transfer differs from the one paid here, has no payout_ref, or is unknown here; p_objects are the objects of the page, for their metadata.
function payout.continue_list(p_kind text, p_worker text) returns bigint, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 45f91402a368 -- Returns the one open read of the kind; abandons one that no longer counts.
function payout.counted_keys(p_state payout.transfer_states) returns integer, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 35c7d42d2e38 -- Keys of a transfer so far, those left out that were declined for lack of funds.
function payout.create_transfers(p_settlement payout.settlements) returns bigint, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 6dc45cea5945 -- Schedules the payouts of a complete settlement whose row this transaction has written; returns the payout_job_id, or the error that names what is wrong with it.
function payout.database_identity(OUT system_identifier bigint, OUT timeline_id integer, OUT database_oid oid, OUT table_oid oid) returns record, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 34a0b88af1b9 -- System identifier, timeline, oid of the database and oid of payout.transfer_states.
function payout.date_waiting_transfers(p_payout_transfer_ids bigint[]) returns bigint[], plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 47852315647e -- Gives those of the transfers whose payee has an account their date; returns the ids of those that are due now.
function payout.defer_job(p_payout_job_id bigint, p_times integer) returns bigint[], plpgsql volatile, owner payout_owner, set search_path=pg_catalog, procrastinate, pg_temp, rights: none, body fbfbdcf1ea29 -- Defers p_times queue jobs payout.execute in queue payouts; returns their ids, none while notifications are not read.
function payout.destinations(p_transfer payout.payout_transfers, p_generation integer DEFAULT NULL::integer) returns text[], plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body ac3d5d624757 -- The account in the request under the key; without a key, or its request, the accounts in all requests of a transfer and those of its payee; null: there is none.
function payout.do_proposed(p_proposal payout.operator_actions) returns SETOF payout.act_result, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 469c0c92a603 -- Does it as things stand now; one row for each transfer that it is about.
function payout.edited_content(p_settlement payout.settlements, p_currency text, p_lines jsonb) returns TABLE(ours jsonb, theirs jsonb), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 19064e48ef53 -- Settlement, currency and the amounts of payees that only one side has, as settled (ours) and as handed in (theirs); both are equal where nothing was edited.
function payout.end_due_holds(p_now timestamp with time zone) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d4fb59f24460 -- Releases the holds that were placed until a time that has come, and the waits whose transfer was paid.
function payout.end_holds(p_hold_ids bigint[], p_released_by text, p_reason text) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 8b8bc359d8eb -- Releases these holds with a reason, clears transfer_states.hold_id, notes it in operator_actions.
function payout.end_of_key(p_state payout.transfer_states) returns payout.transfer_observations, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body bad62782540a -- The accepted decline, act or proof; null: there is none.
function payout.end_of_step(p_from bigint, p_to bigint) returns bigint, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 7c7549bf3381 -- The number before the one with which the next step begins; p_to: it is the last step.
function payout.evidence_for_new_key(p_state payout.transfer_states) returns bigint[], sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 682f6c920f8d -- Ids of the end of the key and of the look after it, or of the scans that prove absence; null: there is no evidence yet.
function payout.exceeded_cap(p_transfer payout.payout_transfers, p_now timestamp with time zone) returns TABLE(hold_scope text, subject text, reason text, goes_on_at timestamp with time zone, notifies boolean), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f6065d8b7227 -- The wait (scope, subject, reason, end) of a transfer that is over a cap, and whether operators are notified; no row: it is over none.
function payout.expire_leases(p_now timestamp with time zone, p_limit integer) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 5dc052452e54 -- Closes up to p_limit leases and returns how many: a transfer is due at once, or parked when its tries are used up.
function payout.find_missing(p_read payout.stripe_reads) returns SETOF payout.discrepancy, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp; enable_seqscan=on; enable_hashjoin=on; enable_mergejoin=on, rights: none, body d9a431f9c256 -- Discrepancies at the end of a comparison, of kind missing_at_stripe.
function payout.find_wakeup(p_payout_job_id bigint, p_times integer) returns bigint[], plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp; lock_timeout=100ms, rights: none, body adaf0c9fb18a -- One wake-up job that waits, if that is enough, or p_times new ones; their ids, none if the queue fails.
function payout.finish_lookup(p_read payout.stripe_reads) returns payout.stripe_reads, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 041542082b8e -- Returns the read with verdict and state as its result, and the number of transfers found.
function payout.finish_read(p_read payout.stripe_reads) returns payout.stripe_reads, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 4119000cafe9 -- Returns the read with its result, and whether that is an alarm.
function payout.finish_reversals(p_read payout.stripe_reads) returns payout.stripe_reads, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 8ffcfc30cbaf -- Returns the read with its result and the number of reversals booked now.
function payout.first_absence(p_read payout.stripe_reads) returns bigint, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 52e14177d90e -- Id of the observation of the earlier scan; null: there is no proof yet.
function payout.first_entry_id(p_since timestamp with time zone) returns bigint, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 1e69b6860764 -- An id below which no entry was booked at p_since or later.
function payout.first_unsealed_rows() returns TABLE(table_name text, row_at timestamp with time zone, marked_at timestamp with time zone), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 4064a888e6ac -- Each with its time, and the time of the mark that its table has; no row: all are sealed.
function payout.fold_facts(p_from bigint DEFAULT '-9223372036854775808'::bigint, p_to bigint DEFAULT '9223372036854775807'::bigint) returns TABLE(payout_transfer_id bigint, state text, generation integer, attempt integer, lease_until timestamp with time zone, next_attempt_at timestamp with time zone, stripe_transfer_id text, window_begins_at timestamp with time zone, tries integer, has_unknown_send boolean, reason text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 6acb708d7b40 -- One row for each transfer from p_from to p_to as transfer_states must say it, folded from attempts and observations.
function payout.forget_pending_wakeup() returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 07e6eb7aaca1 -- Resets payout.waiting_wakeup, and payout.seen_wakeup unless it is 0; not undone by a rollback.
function payout.forgotten_sends_last(p_settings payout.engine_settings) returns interval, plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 781be55dd9a3 -- The time after a transfer was due from which a look at Stripe's list shows whether it was sent, though nothing here says so.
function payout.forgotten_sends_over_at(p_payout_transfer_id bigint) returns timestamp with time zone, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 2a40ee9070e4 -- A day and more after the newest adoption; null: it was first sent since, or there was none.
function payout.free_turns(p_now timestamp with time zone) returns integer, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 4d9d0aae51f1 -- How many turns to send are free; null: any number.
function payout.freeze_requests(p_payout_transfer_ids bigint[]) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 74634eb22bb0 -- Writes transfer_requests for those of the transfers whose present key has none.
function payout.has_queue() returns boolean, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 0e85cec251ea -- False where the queue is that of another application, or its owner no member of payout_owner: migrate marks the one that it makes.
function payout.held(p_scope text, p_awaits text DEFAULT NULL::text) returns SETOF text, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body b71469b45b6a -- Names of workers and currencies, ids of payees, settlements and transfers; without p_awaits those on hold by a person or an alarm.
function payout.id_fits(p_id text) returns boolean, plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_app, body 7a29ee9267f9 -- Check: 1 to 200 characters, no blank at its ends, no control or invisible characters, normal form C.
function payout.identity_problem() returns text, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 228fecf802e4 -- Names the difference between the identity of the database and the adopted one, or another reason to refuse claims; null: none.
function payout.is_compared(p_within interval) returns boolean, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body e36502d374b7 -- True when the last finished read of kind newest, or comparison, is current.
function payout.is_current(p_read payout.stripe_reads, p_within interval) returns boolean, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body b5382b404938 -- True for a read that was begun in this database under this start of the server, no longer ago than p_within.
function payout.is_definite(p_attempt payout.transfer_attempts) returns boolean, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f5e8cdf5470e -- True when nothing was sent, or an accepted answer that names the key says that the send had no effect, nor will have.
function payout.is_far_enough(p_read payout.stripe_reads, p_seen payout.stripe_transfer[]) returns boolean, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f64b13fd8e2c -- True when the page shows a transfer that was reported paid here, or is the hundredth.
function payout.is_of_this_database(p_read payout.stripe_reads) returns boolean, sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 9f3d0316b624 -- True for a read begun since the database was last adopted or its Stripe account changed, and for those from the comparison on that the adoption rests on.
function payout.is_only_send(p_state payout.transfer_states) returns boolean, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 1524689162aa -- True when no attempt but the newest can have had an effect under the current key.
function payout.is_saved(p_is_tied boolean, p_is_replayed boolean, p_should_retry text) returns boolean, sql immutable, owner payout_owner, set , rights: none, body c1fef4f1a8c8 -- True when an answer with Idempotency-Key (ours), Idempotent-Replayed and Stripe-Should-Retry as given is saved under its key.
function payout.json_sha256(p_json jsonb) returns bytea, plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body eeefb3dc1c8f -- SHA-256 of a JSON text in UTF-8.
function payout.judge_absence(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) returns payout.judgement, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body cfeba9a663a7 -- Judges a look-up that found nothing: evidence only, or proof, or none needed; then failed with a new key at once, or parked for approval.
function payout.judge_act(p_signal text, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_settings payout.engine_settings) returns payout.judgement, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body da26000b65ba -- The move that the act makes; already; or stale, with the sentence that says why not.
function payout.judge_decline(p_judgement payout.judgement, p_is_saved boolean, p_rule payout.stripe_error_rules, p_state payout.transfer_states, p_settings payout.engine_settings) returns payout.judgement, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body ea249f817c50 -- Failed, with or without a later key; unknown while another attempt is open; parked in doubt.
function payout.judge_expiry(p_outcome payout.outcome, p_state payout.transfer_states, p_settings payout.engine_settings) returns payout.judgement, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 67b9cdfa12a2 -- Judges an expired lease: unknown and due at once, or parked when the tries are used up; and an expired key: parked.
function payout.judge_failure(p_outcome payout.outcome, p_state payout.transfer_states, p_settings payout.engine_settings) returns payout.judgement, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 24360d437315 -- Judges an outcome that is no success by payout.stripe_error_rules: retry_wait, unknown, parked, or as judge_decline says.
function payout.judge_listed_transfers(p_now timestamp with time zone, p_limit integer) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body c1de3326dc9a -- Judges up to p_limit transfers, which are then paid or parked.
function payout.judge_lookup(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_destinations text[], p_settings payout.engine_settings) returns payout.judgement, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d8bf68abd3b7 -- Judges a look-up by how many transfers it found: one by judge_success, none by judge_absence, several as an alarm; null: it cannot be told.
function payout.judge_outcome(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_destinations text[], p_settings payout.engine_settings) returns payout.judgement, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 3c0c97e5886f -- Verdict, next state and reason for one outcome; changes nothing.
function payout.judge_success(p_outcome payout.outcome, p_state payout.transfer_states, p_transfer payout.payout_transfers, p_destinations text[], p_settings payout.engine_settings) returns payout.judgement, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 5c6ed03cc071 -- Paid, already known, or an alarm, which parks a transfer that is open.
function payout.kept_of_page(p_read payout.stripe_reads, p_objects jsonb, p_discrepancies payout.discrepancy[]) returns jsonb, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body eeaa981d7b40 -- Of a look-up possible matches, of reversals all of them, of a comparison the kind and the transfer of each discrepancy.
function payout.known_of(p_verb text, p_payout_transfer_ids bigint[]) returns jsonb, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 0b091e6306ef -- Of transfers their numbers, their attempts in that order, and how many discrepancies they have; of the database the reason for which claims are stopped, and its newest adoption.
function payout.ledger_ranges_at(p_at timestamp with time zone) returns TABLE(seal_id bigint, first_id bigint, last_id bigint), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body c29cf84f67d5 -- One row with seal_id, if a seal was over by then, and one for each range of ids to be read.
function payout.let_through(p_hold payout.holds, p_now timestamp with time zone) returns bigint, sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body beef096fa45d -- Returns the transfer; null: each is locked or on another hold.
function payout.let_through_ids() returns SETOF bigint, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 96dbc3b7168d -- Numbers of transfers that are tried to see whether a wait is over.
function payout.lock_complete_settlement(p_settlement_id text) returns payout.settlements, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 2734c00b4349 -- Returns the row of a complete settlement, which no other transaction then changes or schedules.
function payout.lock_due_transfers(p_now timestamp with time zone, p_window_begins_after timestamp with time zone, p_worker text, p_limit integer, p_payout_job_id bigint) returns TABLE(payout_transfer_id bigint, wakeup_id bigint), plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 8faec206c4b8 -- Returns up to p_limit transfers that are not on hold and whose key is young enough.
function payout.lock_same_settlement(p_settlement_id text, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 988b16b98988 -- Locks the row of a settlement; refuses another currency, lines, pay_after or metadata than it has (SP307).
function payout.lock_settlements_of_lines(p_settlement_ids text[], p_must_exist boolean) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body eb212948ddca -- Locks the settlements of changed lines against completion; refuses lines of none (SP310).
function payout.lock_unrung_transfers(p_now timestamp with time zone, p_limit integer, p_again_after interval) returns SETOF bigint, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 87fcf98c3cb5 -- Returns up to p_limit of the first due transfers without a wake-up job, of ten times as many.
function payout.look_awaited_from(p_state payout.transfer_states) returns timestamp with time zone, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 468b3892a0e7 -- The time, now or later; null: the transfer has not failed, or no look is awaited.
function payout.look_for_accounts(p_now timestamp with time zone, p_limit integer) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body b45460380221 -- Looks at up to p_limit transfers that are to be looked at, and gives those whose payee has an account their date.
function payout.lookup_outcome(p_read payout.stripe_reads, p_state payout.transfer_states) returns payout.outcome, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 15f388c1669b -- The number of transfers found, and the facts of the transfer if it is one; null: it cannot be told.
function payout.lookup_queries(p_transfer payout.payout_transfers) returns jsonb, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body e99035d6410f -- Parameters of GET /v1/transfers, one object a query.
function payout.lower_pace(p_kind text, p_claimed_at timestamp with time zone) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 28fdc37401ba -- Halves the pace of a kind of request for a refusal of one that was handed out then.
function payout.mark_held_transfers(p_now timestamp with time zone) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 17484f8127ce -- Sets transfer_states.hold_id of up to 5,000 transfers on hold that are due first.
function payout.match_error_rule(p_outcome payout.outcome) returns payout.stripe_error_rules, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body aa085db702f5 -- The first rule in order of id that fits; the last rule of a signal fits all.
function payout.may_be_ours(p_listed payout.stripe_transfer) returns boolean, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 3d14dc190417 -- True where it names our installation, a payout_ref of ours, or a settlement and a payee of ours; or a payout_ref without saying of which installation.
function payout.metadata_problem(p_metadata jsonb) returns text, sql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f85b71607db5 -- The rule of Stripe that this metadata breaks beside our own four keys, or null.
function payout.never_left(p_payout_transfer_id bigint, p_looked_at timestamp with time zone) returns boolean, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d7add6a69c83 -- True, as of a look at Stripe's list, when there are attempts and none was ever executed.
function payout.newest_read(p_kind text) returns payout.stripe_reads, sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 864ee1c39b19 -- Of all transfers (comparison), the newest, or events; null: there is none.
function payout.next_parameters(p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean) returns jsonb, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body e439f33ebf30 -- After the last page of a query those of the next query; null after the last one.
function payout.next_round(p_awaits text, p_probes integer) returns interval, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 35fdf4fb05fd -- The wait after so many transfers were let through; null: no more is.
function payout.not_ours_rule(p_kind text, p_theirs jsonb) returns bigint, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 6b98a1140773 -- The id of the first open rule that fits, by kind and theirs of a discrepancy; null: none does, or the transfer may be ours.
function payout.note_failed_queue(p_problem text) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f3c15fc9437a -- Sets payout.seen_wakeup to 0, also if the transaction rolls back, and writes to the server's log.
function payout.note_reversals(p_seen payout.stripe_transfer[]) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 7120a0a75c8c -- Plans the read of their reversals; returns the number of transfers.
function payout.notify_application() returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body b39c4e2f5b5d -- Notifies channel payout_outcomes; payout.awaited_outcomes says so until the next read.
function payout.notify_operators(p_reason text, p_subject text, p_ids jsonb DEFAULT '{}'::jsonb) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d76bfa16b901 -- Notifies channel payout_alarms of the alarm as JSON: alarm, subject and p_ids; warns with reason and subject.
function payout.open_attempts(p_payout_transfer_ids bigint[], p_worker text, p_now timestamp with time zone, p_settings payout.engine_settings, p_is_paced boolean) returns SETOF payout.claim, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d26933f4e39b -- Moves these transfers to in_flight; returns each with its key, token and request.
function payout.open_keys(p_now timestamp with time zone, p_payout_transfer_ids bigint[]) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 1c125405a5b4 -- Opens the next key of these transfers; returns of how many.
function payout.other_attempts_drain_at(p_state payout.transfer_states) returns timestamp with time zone, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body b14c6c698651 -- The time at which the last unreported other attempt of the current key counts as over; null: none is open.
function payout.owed_transfers(p_settlement payout.settlements) returns TABLE(payee_id payout.external_id, source_transaction text, amount_minor bigint, has_account boolean), plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 817c09ce21b4 -- Payee, source and amount in minor units of each transfer that a settlement makes, and whether the payee has an account.
function payout.page_problem(p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean) returns text, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 547d1f29abaa -- Names the problem, with the parameters expected; null: it is the next page.
function payout.park_expired_keys(p_now timestamp with time zone, p_limit integer) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body cb471de38344 -- Parks up to p_limit transfers; returns how many.
function payout.pay_again(p_payout_transfer_id bigint, p_amount_minor bigint, p_reason text) returns SETOF payout.act_result, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body e0784e8fc6d8 -- Closes this amount of what is owed of the reversed transfer and schedules a new one for it; returns the new one.
function payout.payout_ref(p_installation_id text, p_settlement_id text, p_payee_id text, p_source_transaction text) returns text, sql stable, owner payout_owner, set , rights: none, body f1c14c11dfd0 -- Identity of the transfer that an installation owes for a settlement to a payee from a source: payout_ and 40 hex digits.
function payout.pending_wakeup() returns bigint, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 945538b0bd51 -- The id of the wake-up job that waits in the queue, kept in payout.seen_wakeup if others see it too; or null.
function payout.place_hold(p_scope text, p_subject text, p_reason text, p_discrepancy_id bigint DEFAULT NULL::bigint, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone) returns bigint, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 8c67d666a3f8 -- Places a hold unless there is one, for an alarm or another reason, notes it in operator_actions, returns its hold_id.
function payout.plan_late_lookups(p_now timestamp with time zone, p_limit integer) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 5a9e7562e3fe -- Plans the look-up of up to p_limit transfers.
function payout.possible_matches(p_read payout.stripe_reads, p_objects jsonb) returns jsonb, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body dd6693de8d34 -- An array of payout.stripe_transfer as objects, each with why it may match: ours, by charge, unreadable.
function payout.previewed_acts(p_verb text, p_payout_transfer_ids bigint[], p_takes_two boolean) returns SETOF payout.act_result, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 1841a93ec617 -- One row for each transfer, with result preview, already or refused.
function payout.probe_waits(p_now timestamp with time zone) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 6cbd919045f9 -- Lets one transfer of each such wait through, and sets the time of its next round.
function payout.progress_problem(p_state payout.transfer_states) returns text, plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 6fd9d419a21f -- The first rule about counters, lease, next steps, Stripe's id and reason that a row breaks, or null.
function payout.propose(p_verb text, p_reason text, p_payout_transfer_ids bigint[], p_details jsonb DEFAULT '{}'::jsonb, p_subject text DEFAULT NULL::text) returns SETOF payout.act_result, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body ace0a56be244 -- One row for each transfer, with result proposed and the call that approves, which a notice shows as well.
function payout.pull_back_dates(p_now timestamp with time zone) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 57d40c4a2b24 -- Makes looks and rounds due whose dates are further ahead than any that is given.
function payout.queue_due_wakeups(p_now timestamp with time zone, p_limit integer) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp; lock_timeout=100ms, rights: none, body 6f76813041f4 -- Queues wake-up jobs for up to p_limit due transfers without one; returns the number of jobs, 0 if the queue fails.
function payout.queue_problem() returns text, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, procrastinate, pg_temp; lock_timeout=100ms, rights: none, body 11744d7634c7 -- The error of the queue, or null; a read-only transaction cannot tell, and gets null, and the queue of another application is not tried.
function payout.queue_wakeup(p_payout_job_id bigint, p_transfers integer, p_pay_after timestamp with time zone) returns bigint[], plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 599b1139f7cd -- Queues one wake-up job for each transfers_per_wakeup (of engine_settings) transfers, or relies on one that waits already; none before pay_after, none while the queue fails. Returns the ids.
function payout.raise_alarm(p_outcome payout.outcome, p_judgement payout.judgement) returns text, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 50b3e8692f47 -- Notifies operators, records a discrepancy, holds the transfer, a worker or the engine; returns the reason.
function payout.raise_pace(p_kind text, p_now timestamp with time zone) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 71edb5fdc2ae -- Raises a lowered pace by the time since it was raised last, a second at most.
function payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb) returns payout.settlement_lines[], plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body bc867bcda9ce -- The lines of a settlement given as JSON, or an error that names the wrong one (SP309).
function payout.read_outcome(p_outcome jsonb) returns payout.outcome, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 959d6bb46b91 -- One outcome as a row; null where a field is absent or cannot be read.
function payout.read_outcomes(p_outcomes jsonb) returns payout.outcome[], plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body fb9470e98d78 -- Reported outcomes in the order they came; SP312 when one cannot be read.
function payout.read_reversal(p_object jsonb, p_stripe_transfer_id text) returns jsonb, sql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 6c37375ec0a3 -- Its id, amount and currency; null where it is no reversal of that transfer, or unreadable.
function payout.read_stripe_transfer(p_object jsonb) returns payout.stripe_transfer, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 38a2b6f30234 -- Reads one object; null where a field is absent or cannot be read.
function payout.read_text(p_value jsonb) returns text, sql immutable, owner payout_owner, set , rights: none, body 6e8365e169ed -- The text; null for a value that is absent, of another type or longer than 500 characters.
function payout.read_whole(p_value jsonb) returns bigint, sql immutable, owner payout_owner, set , rights: none, body a944ef8c2b5e -- The number; null for one that is absent, negative, broken, more than bigint holds, or no number.
function payout.record_acts(p_verb text, p_payout_transfer_ids bigint[], p_reason text, p_details jsonb) returns bigint[], plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 141aecb20600 -- Numbers of the transfers with which it was done; the others were set aside.
function payout.record_catalogue(p_reason text) returns void, sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body e2cc0828d386 -- Records every object of the catalogue, with the reason and the login, for the doctor to compare with.
function payout.record_discrepancies(p_discrepancies payout.discrepancy[], p_read_id bigint) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 2db7596aa3ac -- Stores each discrepancy once; returns how many are open.
function payout.record_expiries(p_signal text, p_payout_transfer_ids bigint[]) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 010bb5bcd5c4 -- Records lease_expired or key_expired, as p_signal says, for each of these transfers; returns how many.
function payout.record_listed_transfers(p_stripe_transfer_ids text[]) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 97c484fd63e1 -- Judges stored listed transfers that are known here; returns the number of alarms.
function payout.record_outcomes(p_outcomes payout.outcome[]) returns SETOF payout.reported, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 4c995b08c342 -- Stores outcomes with their judgement, moves the transfers, books paid and released money.
function payout.record_outcomes_apart(p_outcomes payout.outcome[]) returns SETOF payout.reported, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body b03b4b7ff2fd -- Verdict and state for each outcome; alarm for one that was set aside, with a discrepancy outcome_not_stored that keeps what was reported.
function payout.record_unknown_transfers(p_outcomes payout.outcome[]) returns SETOF payout.reported, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 28dfde1ee5e2 -- Stores outcomes of unknown transfers as discrepancies and answers alarm for each.
function payout.refuse_bad_lines(p_lines jsonb) returns void, plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body b900545c856a -- Refuses lines given as JSON that cannot be read, naming the first (SP309).
function payout.refuse_bad_row(p_table text, p_rule text) returns void, plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 211034f4b32a -- Raises 23514 for a row of the table that breaks the rule.
function payout.refuse_old_snapshot(p_refused text) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body dc6394093ef2 -- Refuses outside read committed; p_refused begins the sentence: no hold is released.
function payout.refuse_settlement(p_settlement payout.settlements) returns void, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 8e6bdc4913d2 -- Raises the error of the first thing that is wrong with a settlement.
function payout.refuse_unsafe_account_change(p_old payout.engine_settings, p_is_livemode boolean) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 1f265d0ede0b -- Refuses a live account while transfers are open that were ever sent, or failed without an answer that names their key, and after anything was done in test mode (SP411).
function payout.refuse_unsafe_database(p_stripe_account_id text, p_is_livemode boolean, p_comparison_counts_for interval) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body cd6aed59268a -- Refuses to go on in a database that is not adopted (SP403), for another Stripe account (SP404), or while Stripe's newest transfers were not compared for so long, or not since the server started (SP405).
function payout.refuse_unsafe_server(p_stripe_now timestamp with time zone) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 056e50c23ca8 -- Refuses in recovery, with fsync or synchronous_commit off, outside read committed, and while the server's clock is more than five minutes from the time at Stripe, if that is given.
function payout.refused_payees(p_error_rule_id integer, p_outcome payout.outcome) returns integer, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 385018436f94 -- The number of payees whose transfers met this error rule at the same worker within engine_settings.alarm_window_for, first since it last paid, and that do not wait for their accounts; that of the outcome included.
function payout.register_payees(p_lines payout.settlement_lines[]) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 74902ec27ca6 -- Writes the payees that are unknown; an account comes with payout_api.register_payee.
function payout.remaining_facts(p_outcome payout.outcome) returns jsonb, plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 21a3cb19432b -- The JSON for transfer_observations.facts; absent parts are left out.
function payout.remove_lost_wakeups() returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, procrastinate, pg_temp, rights: none, body db691d1bd9ac -- Deletes queue jobs of ours that have been `doing` for two minutes or ended a day ago.
function payout.remove_served_wakeups(p_wakeup_ids bigint[]) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, procrastinate, pg_temp; lock_timeout=100ms, rights: none, body 2c343672af19 -- Deletes the queue jobs of these ids that no worker has fetched yet; returns their number, 0 if the queue fails.
function payout.reopen_failed(p_now timestamp with time zone, p_limit integer) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 4a2c5a4b05ad -- Opens the next key for up to p_limit transfers; returns how many.
function payout.replace_edit(p_ours jsonb, p_theirs jsonb) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 16ecb064e9dd -- Resolves the open discrepancies settlement_edited of a settlement that say otherwise, and records this one, unless it is known or there is no difference.
function payout.resolve_by_rules() returns bigint, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body f5624ec5e8bc -- Resolves the discrepancies of transfers that are not ours by an open rule; returns how many.
function payout.resolve_compared(p_read payout.stripe_reads) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp; enable_seqscan=on; enable_hashjoin=on; enable_mergejoin=on, rights: none, body 84bc9be8bb29 -- Resolves open discrepancies of transfers that this comparison listed without finding them again.
function payout.resolve_paid(p_stripe_transfer_ids text[]) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 50c645e6215f -- Resolves the open discrepancies of the transfers that are paid by these ids, except those of several transfers at Stripe, and releases the holds that their alarms placed.
function payout.reversals_problem(p_transfer payout.payout_transfers, p_reversals jsonb) returns text, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 53831c8f5f37 -- Null: the reversals fit the transfer and the books.
function payout.schedule_payout_job(p_settlement_id text, p_settlement payout.settlements DEFAULT NULL::payout.settlements, p_line payout.settlement_lines DEFAULT NULL::payout.settlement_lines) returns bigint, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 3a23c1ebb819 -- Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable. Refuses one that cannot be paid out as it stands (SP301, SP303, SP305, SP306, SP308).
function payout.seal_sha256(p_seal payout.seals) returns bytea, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body a2e95f2c681a -- SHA-256 of the former hash, followed by the other columns as a JSON array.
function payout.seal_up_to_mark(p_mark payout.seal_marks, p_now timestamp with time zone, p_limit integer) returns integer, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 3f3ad758f9f9 -- Seals about p_limit rows at most, a thousand under each seal, with the sub-totals of the ledger; returns the number of rows.
function payout.sealed_rows_v1(p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer) returns TABLE(row_id bigint, row_at timestamp with time zone, row_sha256 bytea), plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp; TimeZone=UTC; bytea_output=hex, rights: none, body 47585559e97a -- Up to p_limit rows of a table in a range of ids (inclusive), in order, with the SHA-256 that seals of version 1 cover.
function payout.selected_transfers(p_payout_transfer_id bigint, p_settlement_id text DEFAULT NULL::text, p_payee_id text DEFAULT NULL::text, p_currency text DEFAULT NULL::text, p_because text DEFAULT NULL::text) returns bigint[], plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 96ec92412e0f -- Numbers of the transfers, in order; those that are done only if named by number or settlement.
function payout.sends_over_at(p_payout_transfer_id bigint) returns timestamp with time zone, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body c4636f02f6d1 -- The time, also for what Stripe may execute later; null: it was never sent, nor parked.
function payout.set_aside(p_payout_transfer_id bigint, p_error text) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 2967058a6029 -- Holds and parks a transfer, once, with a discrepancy row_contradicts_facts that names the error.
function payout.set_aside_unreadable(p_read payout.stripe_reads, p_objects jsonb) returns integer, sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 78b447a87920 -- Records discrepancies of kind unreadable_at_stripe; returns their number for the count of a comparison, 0 for other reads.
function payout.settlement_difference(p_settlement payout.settlements, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone, p_metadata jsonb) returns text, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 0cf0ce110603 -- Names the parts that differ, for lines the first one; empty when nothing differs.
function payout.settlement_problem(p_settlement payout.settlements) returns TABLE(code text, problem text, hint text), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body c21d123aac14 -- SQLSTATE, message after the settlement's name, and hint of the first reason for which it cannot be paid out; SP402 if there is none by now.
function payout.slow_down(p_payout_transfer_ids bigint[]) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 55263bf99208 -- Begins the waits, and lowers the pace, that the newest outcomes of these transfers call for.
function payout.stop_beside_another(p_seen payout.stripe_transfer[], p_read_id bigint) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body ffda799314ba -- Stops claims when a transfer of this installation is unknown here and was not listed before, or when one of another installation is seen before the first claim.
function payout.stop_claims(p_alarm text, p_reason text, p_read_id bigint) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 9a83fa0b2043 -- Records that the database is not adopted, for a reason that a read has shown, and notifies operators.
function payout.stop_refused_worker(p_outcome payout.outcome, p_reason text) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 2e62869e050f -- Places a hold on the worker of the attempt, if its key is refused or another worker succeeded within engine_settings.alarm_window_for, else on the engine.
function payout.stop_transfer(p_payout_transfer_id bigint, p_reason text, p_discrepancy_id bigint) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body bb2ffa448002 -- Places the hold of an alarm on a transfer; engine_settings says how many alarms hold the engine.
function payout.stripe_account_label(p_stripe_account_id text, p_is_livemode boolean) returns text, plpgsql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 137b34dbf143 -- Text such as: acct_1 in live mode.
function payout.subtotals_of(p_seal payout.seals) returns SETOF payout.seal_subtotals, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body a210f3ec529a -- Debits and credits in minor units, and how many, from the first entry to the last of the range; no row for a seal of another table.
function payout.summary_lists(p_rows integer) returns TABLE(section text, row_count bigint, content jsonb), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body ccc887102bf6 -- Part of payout_api.summary(): each list with the number of all its rows.
function payout.take_listed_transfers(p_read payout.stripe_reads, p_objects jsonb, OUT listed payout.stripe_transfer[], OUT discrepancies payout.discrepancy[], OUT objects_found integer) returns record, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d120e85f1108 -- Returns the transfers, each once and in order of their ids, those whose id cannot be read aside; their discrepancies; and the number of discrepancies and alarms, or, for events, of the transfers of which more is reversed than was known.
function payout.take_page(p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean) returns payout.stripe_reads, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 6d7ffed7a5d5 -- Returns the read with its next parameters and counts.
function payout.take_turns(p_kind text, p_count integer, p_now timestamp with time zone, OUT first_seconds double precision, OUT apart_seconds double precision) returns record, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 07956d754ee1 -- Hands out so many turns: seconds from now to the first, and from each to the next; null: none is free.
function payout.tg__close_once() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 1400c070d807 -- Trigger: lets a row set the columns that are its arguments, once, and no other (SP104).
function payout.tg__refuse_change() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d2efa74d926a -- Trigger: refuses update, delete and truncate of an insert-only table, and of others the command or change that it is made for (SP101).
function payout.tg_caps__record_change() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 9ea375281a1f -- Trigger: writes the old and the new cap into operator_actions.
function payout.tg_engine_settings__check_account() returns trigger, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; lock_timeout=1s, rights: none, body a47c8e33f615 -- Deferred trigger: refuses another Stripe account or mode if a claim or page came meanwhile (SP411).
function payout.tg_engine_settings__record_change() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp; IntervalStyle=postgres, rights: none, body d15c85189327 -- Trigger: writes the old and the new value of each changed setting into operator_actions.
function payout.tg_ledger_entries__check_movement() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 2fadcf3a6c93 -- Trigger: the amount is above 0, the accounts are those of the kind, only reversals name a reversal, and only what an operator ordered names the act (23514).
function payout.tg_outcomes__announce() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d63798ca6e99 -- Trigger: takes a shared lock whose key tells above which id this transaction writes outcomes.
function payout.tg_payout_transfers__derive() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 98133989f62b -- Trigger: fills in payout_ref, or refuses a given one that differs, and an amount that is not above 0 (23514).
function payout.tg_settlement_lines__refuse_frozen() returns trigger, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: none, body 414b769fc72f -- Trigger: refuses to add, change or remove lines of a settlement that has been scheduled (SP102), and lines of none (SP310).
function payout.tg_settlements__refuse_frozen() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 066b6211e53d -- Trigger: refuses to change or delete a complete settlement, and to rename one (SP102).
function payout.tg_settlements__schedule_payout_job() returns trigger, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: none, body e5dfc1bb40c4 -- Trigger: at commit, makes the payout job of a complete settlement.
function payout.tg_transfer_states__check_progress() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 92fc72f2bfca -- Trigger: attempt and generation never go back, a new key has its evidence (SP103); the row keeps its rules (23514).
function payout.tg_transfer_states__check_start() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d81f093a5997 -- Trigger: a transfer starts as scheduled, with its first key and no attempt (SP103), and keeps the rules of its row (23514).
function payout.tg_transfer_states__move() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 40d71ce55201 -- Trigger: rejects a change of transfer_states.state that is not in payout.state_edges (SP201); sets next_lookup_at when a transfer becomes parked or fails, else clears it; clears hold_id.
function payout.tg_transfer_states__tell_status() returns trigger, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp; enable_hashjoin=on; enable_nestloop=off, rights: none, body 389bf68d31c4 -- Trigger: writes payout.outcomes for each transfer whose status for the application changed.
function payout.transfer_facts(p_transfer payout.payout_transfers, p_is_livemode boolean) returns jsonb, plpgsql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 4fa463d500ca -- Reference, settlement, amount, currency, destination and mode of a transfer by these books.
function payout.transfer_request(p_transfer payout.payout_transfers, p_destination text, p_metadata jsonb, p_installation_id text) returns jsonb, sql stable, owner payout_owner, set , rights: none, body 3a4f6eb3dc95 -- The request for a transfer to an account, with the metadata of its settlement and the installation's id.
function payout.untold_outcomes(p_from bigint DEFAULT '-9223372036854775808'::bigint, p_to bigint DEFAULT '9223372036854775807'::bigint) returns TABLE(payout_transfer_id bigint, status text, reason text, hold_id bigint, stripe_transfer_id text, reversed_minor bigint, told_status text, told_reversed_minor bigint), sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 933f4d180906 -- One row for each such transfer from p_from to p_to with the outcome that the application should know as the last, and the status and sum of reversals that it was told.
function payout.wait_of(p_state payout.transfer_states, p_transfer payout.payout_transfers) returns payout.holds, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body bf5a7710a4ed -- The hold; null: it waits for nothing.
function payout.waits_of(p_payout_transfer_ids bigint[]) returns bigint[], sql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body d003ab978034 -- Ids of the longest wait of each, if it is for funds or for an account.
function payout.wake_up_for(p_payout_transfer_ids bigint[]) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body db72decfd43d -- Queues a wake-up job for each transfers_per_wakeup of these transfers, and notes it with each.
function payout.warn_of_former_accounts(p_hold payout.holds) returns void, plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body bf72a6b4a1c6 -- WARNING with their number, if the hold has a payee, settlement or transfer for its subject.
function payout.was_seen_at_stripe(p_payout_transfer_id bigint) returns boolean, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 5d551f780238 -- True once an observation of the transfer, accepted or not, tells of it at Stripe.
function payout.was_seen_since_given_up(p_state payout.transfer_states) returns boolean, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 5070423069ed -- True once it was seen; after two people gave it up, once an alarm tells of it again.
function payout.within_caps(p_payout_transfer_ids bigint[], p_now timestamp with time zone) returns bigint[], plpgsql volatile, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: none, body 6dd809254e68 -- Returns those of the transfers that are within every cap, and lets the others wait.
function payout_api.account_totals_at(p_times timestamp with time zone[], p_accounts text[]) returns TABLE(at timestamp with time zone, account text, currency payout.currency_code, debit_minor numeric, credit_minor numeric, debits bigint, credits bigint), sql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off; enable_bitmapscan=off, rights: execute to payout_auditor; execute to payout_operator, body 237ab1748c7d -- For each time and account (null: every one): debits and credits in minor units, and how many, of the entries whose transaction had begun by then; payable is that of all payees.
function payout_api.add_currency(p_currency text, p_minor_digits integer, p_reason text, p_amount_step integer DEFAULT 1) returns payout.currencies, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body a71c7fc989ca -- Adds a currency with its decimal places, and the number that amounts must be a multiple of; on record with the reason. Safe to repeat.
function payout_api.add_not_ours_rule(p_reason text, p_created_before timestamp with time zone DEFAULT NULL::timestamp with time zone, p_metadata_key text DEFAULT NULL::text, p_destination text DEFAULT NULL::text, p_everything boolean DEFAULT false) returns bigint, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body d269d68cc5e2 -- Counts transfers at Stripe as those of other software: made before a time, with a key in their metadata, to an account (all that are given), or everything that cannot be ours; with a reason. Resolves their open discrepancies; returns the number of the rule.
function payout_api.adopt_database(p_reason text, p_without_reconcile boolean DEFAULT false) returns text, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body f2aeabdc8a1e -- Proposes to adopt the database under its present identity, with a reason, once a comparison that began within the last hour has finished; p_without_reconcile does without one. Proposed: it waits for payout_api.approve; or already.
function payout_api.approve(p_action_id bigint, p_reason text) returns SETOF payout.act_result, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_approver, body ed552a91edef -- Approves the act that another login has proposed, and does it; one row for each transfer with its result. payout_api.proposals lists those that wait.
function payout_api.balances_as_of(p_at timestamp with time zone, p_payee_id text DEFAULT NULL::text) returns TABLE(account text, currency payout.currency_code, debit_minor numeric, credit_minor numeric, balance_minor numeric), sql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_auditor; execute to payout_operator, body f0f0b52245b3 -- Credit minus debit of every account and currency, or of one payee's, in minor units, of the entries whose transaction had begun by p_at and has committed; infinity: of all.
function payout_api.cancel(p_reason text, p_payout_transfer_id bigint DEFAULT NULL::bigint, p_settlement_id text DEFAULT NULL::text, p_payee_id text DEFAULT NULL::text, p_currency text DEFAULT NULL::text, p_because text DEFAULT NULL::text, p_preview boolean DEFAULT false) returns SETOF payout.act_result, sql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body e69898253267 -- Cancels the transfers that are named by any of the marks, joined by and: they are not owed after all. One row for each with its result; p_preview changes nothing.
function payout_api.catalogue_differences() returns TABLE(object text, what text, recorded jsonb, present jsonb), sql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off, rights: execute to payout_auditor; execute to payout_operator, body c1c68c3e56a1 -- One row for each object that was added, removed or changed since the catalogue was recorded; recorded and present are its definition, and its text as the server writes it.
function payout_api.change_setting(p_name text, p_value text, p_reason text) returns text, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body 734bbaf74035 -- Sets a column of payout.engine_settings; returns its new value. Both values are in operator_actions.
function payout_api.change_stripe_account(p_stripe_account_id text, p_is_livemode boolean, p_reason text) returns text, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body d2165a1418ba -- Fixes another Stripe account or mode, with a reason: done, or already; claims are refused until the database is adopted again.
function payout_api.claim_reads(p_worker text, p_limit integer DEFAULT 20, p_stripe_account_id text DEFAULT NULL::text, p_is_livemode boolean DEFAULT NULL::boolean, p_kind text DEFAULT NULL::text, p_stripe_now timestamp with time zone DEFAULT NULL::timestamp with time zone) returns TABLE(read_id bigint, kind text, token text, path text, parameters jsonb, objects_seen bigint, objects_expected bigint, read_in_seconds double precision), plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: execute to payout_worker, body 3bd6013f5584 -- Hands out up to p_limit reads, of one kind (newest, lookup, reversals, events, comparison) or of all: path and parameters of the next page, and the token without which report_page takes none; read_in_seconds is the turn of the first page, counted from before the call. The Stripe account is that of the worker's key, p_stripe_now the time by Stripe's Date header; no look-ups while that is far from the server's clock.
function payout_api.claim_transfers(p_worker text, p_limit integer DEFAULT 100, p_payout_job_id bigint DEFAULT NULL::bigint, p_stripe_account_id text DEFAULT NULL::text, p_is_livemode boolean DEFAULT NULL::boolean, p_stripe_now timestamp with time zone DEFAULT NULL::timestamp with time zone) returns SETOF payout.claim, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off; enable_hashjoin=off; enable_mergejoin=off; enable_material=off; plan_cache_mode=force_generic_plan, rights: execute to payout_worker, body 3f7fdfba784d -- Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; empty while the engine or the worker is on hold. The Stripe account is that of the worker's key, p_stripe_now the time by Stripe's Date header. Seconds count from before the call; send_in_seconds is the turn of the transfer, where a pace is kept; due_for_seconds since it was due under this key, for metrics.
function payout_api.complete_settlement(p_settlement_id text, p_currency text, p_lines jsonb, p_pay_after timestamp with time zone DEFAULT NULL::timestamp with time zone, p_metadata jsonb DEFAULT NULL::jsonb, p_register_payees boolean DEFAULT false) returns bigint, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: execute to payout_app, body 75263549efc8 -- Records a settlement with its lines and schedules its payouts; returns the payout_job_id. Safe to repeat with the same content; amounts are in minor units of the currency. p_register_payees registers payees that are unknown, without an account.
function payout_api.doctor(p_stripe_account_id text DEFAULT NULL::text, p_is_livemode boolean DEFAULT NULL::boolean) returns TABLE(check_name text, status text, detail text, hint text), sql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; plan_cache_mode=force_custom_plan, rights: execute to payout_auditor; execute to payout_operator; execute to payout_worker, body e86263cf43fb -- Checks server, transactions, identity, catalogue, logins, queue, holds, dates, reads, books and the newest seals; status is ok, warning or failure, and hint names the next step. The Stripe account is that of the caller's key, if it has one.
function payout_api.end_not_ours_rule(p_rule_id bigint, p_reason text) returns text, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body 5621eeb367a4 -- Ends a rule with a reason: done, or already; the next comparison reads all of Stripe's transfers, and finds those that it hid.
function payout_api.explain(p_payout_transfer_id bigint DEFAULT NULL::bigint, p_settlement_id text DEFAULT NULL::text, p_payee_id text DEFAULT NULL::text) returns SETOF payout_api.explained, plpgsql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off, rights: execute to payout_approver; execute to payout_auditor; execute to payout_operator, body 26e10b0d546c -- The rows of payout_api.explained for a transfer, the transfers of a settlement, or those of a payee that are not paid.
function payout_api.heartbeat(p_worker text, p_release text, p_is_last boolean DEFAULT false) returns TABLE(is_on_hold boolean), plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_worker, body 12cca1c07ce9 -- Notes the worker with its release and the time, or that it ends, for the doctor and payout_api.workers; tells whether it is on hold; refuses one that is more than one release away from the schema.
function payout_api.hold(p_scope text, p_reason text, p_subject text DEFAULT NULL::text, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone) returns bigint, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body 7b5da4f518bf -- Stops new sends of a scope (engine, currency, payee, settlement, transfer) until the hold is released, or until p_until; returns the hold.
function payout_api.ledger_page(p_from timestamp with time zone, p_to timestamp with time zone, p_after bigint DEFAULT '-9223372036854775808'::bigint, p_limit integer DEFAULT 1000) returns TABLE(entry_id bigint, booked_at timestamp with time zone, kind text, debit_account text, credit_account text, amount numeric, amount_minor bigint, currency text, settlement_id text, payee_id text, transfer_id bigint, stripe_transfer_id text, stripe_reversal_id text), sql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off; enable_bitmapscan=off, rights: execute to payout_auditor; execute to payout_operator, body 6bd2b99f85e9 -- The first p_limit entries with an id above p_after that were booked from p_from on and before p_to: accounts, amount in the currency itself and in minor units, settlement, payee, transfer, and Stripe's ids of it.
function payout_api.ledger_totals(p_from timestamp with time zone, p_to timestamp with time zone) returns TABLE(account text, currency payout.currency_code, accounts bigint, debit_minor numeric, credit_minor numeric, opening numeric, debit numeric, credit numeric, closing numeric), sql stable strict security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off, rights: execute to payout_auditor; execute to payout_operator, body 4dc29f3395cd -- Per account and currency, payable for those of all payees: how many accounts they are, debit and credit of the entries from p_from on and before p_to, in minor units and in the currency itself, between the balances before and after. Null for a time: no rows.
function payout_api.major_units(p_amount_minor numeric, p_currency text) returns numeric, sql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_auditor; execute to payout_operator, body 87949f8074e6 -- The amount in the currency itself, with the currency's digits: 15.00 for 1500 usd; null for a currency that is not in payout.currencies.
function payout_api.measure(p_worker text) returns TABLE(metric text, meaning text, labels jsonb, value double precision), plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off; work_mem=16MB, rights: execute to payout_worker, body 54527c7b82bd -- Names, meanings, labels and values of the gauges, or no row while another worker measures; the worker is one that heartbeat has noted.
function payout_api.money_flow(p_from timestamp with time zone, p_to timestamp with time zone) returns TABLE(day date, currency payout.currency_code, transfers_settled bigint, transfers_paid bigint, settled_minor numeric, paid_minor numeric, failed_minor numeric, taken_back_minor numeric, settled numeric, paid numeric, failed numeric, taken_back numeric), sql stable strict security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; TimeZone=UTC; jit=off; enable_seqscan=off; enable_bitmapscan=off, rights: execute to payout_auditor; execute to payout_operator, body 0d861e999889 -- For each day (UTC) and currency in which any was booked: the amounts that settlements owed, that were paid, that were declined, and that Stripe took back, in minor units and in the currency itself. From p_from on, before p_to. Null for a time: no rows.
function payout_api.open_discrepancies() returns TABLE(kind text, open_count bigint, since timestamp with time zone, advice text), sql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_auditor; execute to payout_operator; execute to payout_worker, body 9922225f2286 -- Unresolved discrepancies by kind, edits of the application aside: number, time of the oldest, and the next step for it.
function payout_api.outcomes_since(p_after bigint DEFAULT 0, p_limit integer DEFAULT 100) returns TABLE(outcome_id bigint, settlement_id text, payee_id text, source_transaction text, amount_minor bigint, currency text, status text, reason text, stripe_transfer_id text, changed_at timestamp with time zone, reversed_minor bigint), plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: execute to payout_app, body f795088cbeae -- Up to p_limit changes of status, and reversals, with an outcome_id above p_after, in order. Store the last outcome_id and read on from there: nothing is skipped, nothing comes twice.
function payout_api.park(p_reason text, p_payout_transfer_id bigint DEFAULT NULL::bigint, p_settlement_id text DEFAULT NULL::text, p_payee_id text DEFAULT NULL::text, p_currency text DEFAULT NULL::text, p_because text DEFAULT NULL::text, p_preview boolean DEFAULT false) returns SETOF payout.act_result, sql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body 770296cafb2a -- Parks transfers that wait to be sent again, named by any of the marks, joined by and: they are looked up at Stripe first. One row for each with its result; p_preview changes nothing.
function payout_api.register_payee(p_payee_id text, p_stripe_account_id text DEFAULT NULL::text) returns void, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; enable_seqscan=off, rights: execute to payout_app; execute to payout_operator, body ac021f8f2e15 -- Registers a payee; with an account, records it as the one to pay from now on, and lets transfers that waited for it go out. Repeatable; a transfer that was claimed keeps its account under its key.
function payout_api.release() returns text, sql immutable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_auditor; execute to payout_operator; execute to payout_worker, body e6a4f7d6869f -- Major and minor number of the release. A worker of the release before, or of the next one, goes on while the others are replaced; any other is refused.
function payout_api.release_hold(p_hold_id bigint, p_reason text) returns text, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body d7ccb90f3e82 -- Releases a hold with a reason; the sweep then queues wake-up jobs for due transfers. Done; already; or proposed: the hold of an open alarm stays until another person approves.
function payout_api.repay(p_payout_transfer_id bigint, p_reason text, p_preview boolean DEFAULT false) returns SETOF payout.act_result, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body 50bbb1313cbf -- Pays the open amount of payout_api.reversed_money of a transfer again; returns its new transfer. p_preview changes nothing.
function payout_api.report_edit(p_settlement_id text, p_currency text, p_lines jsonb) returns boolean, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: execute to payout_app, body 6498af80ad94 -- Compares currency and lines, as complete_settlement takes them, with a complete settlement: true if they agree, false if not, which is then a discrepancy settlement_edited; null if there is no such settlement. Changes no settlement and raises nothing.
function payout_api.report_outcomes(p_outcomes jsonb) returns SETOF payout.reported, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off; enable_hashjoin=off; enable_mergejoin=off; plan_cache_mode=force_generic_plan, rights: execute to payout_worker, body cbde44c2029d -- Takes an array of payout.outcome objects, stores every one, and answers ok, already, stale or alarm and the state for each.
function payout_api.report_page(p_read_id bigint, p_token text, p_parameters jsonb, p_objects jsonb, p_has_more boolean, p_is_rate_limited boolean DEFAULT false) returns TABLE(next_parameters jsonb, objects_seen bigint, objects_found bigint, result text, is_alarm boolean, read_in_seconds double precision), plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off; enable_hashjoin=off; enable_mergejoin=off, rights: execute to payout_worker, body b4b4ce860917 -- Takes the objects of a page, as Stripe sent them, with the parameters that it was asked with; returns the parameters of the next page (null: there is none, and result says what was found), the counts of the read so far, and the seconds until the turn of the next page. p_is_rate_limited: there are no objects, Stripe refused the page for its rate.
function payout_api.resolve_discrepancy(p_discrepancy_id bigint, p_reason text) returns text, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body 45c65c17df29 -- Resolves a discrepancy with a reason: done, or already; it releases no hold and moves no money.
function payout_api.retry(p_reason text, p_payout_transfer_id bigint DEFAULT NULL::bigint, p_settlement_id text DEFAULT NULL::text, p_payee_id text DEFAULT NULL::text, p_currency text DEFAULT NULL::text, p_because text DEFAULT NULL::text, p_preview boolean DEFAULT false, p_force boolean DEFAULT false) returns SETOF payout.act_result, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body a72f54a2fcf5 -- Lets the transfers that are named by any of the marks, joined by and, go on now: sent again, looked up, or with a new key where the evidence allows it. One row for each with its result; p_preview changes nothing; p_force proposes to give parked ones up.
function payout_api.seal(p_limit integer DEFAULT 10000) returns integer, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off; plan_cache_mode=force_custom_plan, rights: execute to payout_operator; execute to payout_worker, body 3121fd846b30 -- Seals rows of payout_api.sealed_rows that no new row can precede, about p_limit of each table; returns how many. Safe to repeat.
function payout_api.seal_head() returns text, sql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_auditor; execute to payout_operator, body fd31174b6c51 -- Number and hash of the newest seal; null before the first.
function payout_api.set_cap(p_scope text, p_currency text, p_reason text, p_amount_minor bigint DEFAULT NULL::bigint, p_count integer DEFAULT NULL::integer) returns void, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body a1fc5c472e8f -- Sets a cap: of a transfer, of a payee and day, or of the engine and hour, in minor units of a currency and in transfers; null takes it away. The next sweep ends the waits for caps of it.
function payout_api.settle_outside(p_payout_transfer_id bigint, p_reference text, p_reason text, p_preview boolean DEFAULT false) returns SETOF payout.act_result, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body 6377359eb33c -- Closes a transfer that is scheduled or failed as paid in another way, with its reference; one row with the result. p_preview changes nothing.
function payout_api.summary(p_days integer DEFAULT 30, p_rows integer DEFAULT 20) returns TABLE(section text, row_count bigint, content jsonb), sql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; TimeZone=UTC; jit=off, rights: execute to payout_auditor; execute to payout_operator, body 27eab18018a2 -- Sections with their rows, of one moment: the installation; transfers by state and age, what was settled and paid on each of the last p_days days (UTC), the reasons of unpaid transfers; balances; open discrepancies, reversed money, holds and workers. row_count is that of the whole list, content its first rows.
function payout_api.sweep(p_limit integer DEFAULT 1000) returns TABLE(leases_expired integer, transfers_parked integer, transfers_reopened integer, wakeups_queued integer), plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: execute to payout_operator; execute to payout_worker, body 5cc4076f4726 -- Judges due transfers that Stripe has listed, closes leases that ran out, parks transfers whose key is too old to send, opens new keys where the evidence allows it, plans looks before late first sends, looks for accounts that transfers wait for, ends holds that are over, queues wake-up jobs for due transfers; up to p_limit of each. Returns how many. Seals too.
function payout_api.time_from_now(p_at timestamp with time zone) returns text, sql stable, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_approver; execute to payout_auditor; execute to payout_operator, body 441648f2f7d1 -- The time in seconds, minutes, hours or days from now: 3 h ago, in 5 min; null for none.
function payout_api.verify_books(p_from bigint DEFAULT NULL::bigint, p_to bigint DEFAULT NULL::bigint) returns TABLE(check_name text, detail text, hint text), plpgsql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: execute to payout_auditor; execute to payout_operator, body 41e1771e539e -- One row for each row with a number from p_from to p_to (null: from the first, to the last) that breaks a rule: requests, progress and entries that contradict their rows, rows without an origin, releases and resolutions without their act, secrets. None: all is well.
function payout_api.verify_projection(p_from bigint DEFAULT NULL::bigint, p_to bigint DEFAULT NULL::bigint) returns TABLE(payout_transfer_id bigint, column_name text, stored text, folded text), plpgsql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_nestloop=off; enable_seqscan=off, rights: execute to payout_auditor; execute to payout_operator, body 04a6ea3181fb -- One row for each difference between transfer_states (stored) and the fold of the facts (folded), of the transfers from p_from to p_to (null: from the first, to the last); column money compares the account that the state implies with the books. None: all is well.
function payout_api.verify_seals(p_from bigint DEFAULT 1, p_to bigint DEFAULT NULL::bigint, p_head text DEFAULT NULL::text) returns TABLE(table_name text, row_id bigint, seal_id bigint, what text), plpgsql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off; plan_cache_mode=force_custom_plan, rights: execute to payout_auditor; execute to payout_operator, body 3186017e7bb4 -- Recomputes seals from p_from to p_to (null: the newest) and returns per table the first row that was altered, removed or slipped in, table seals for the chain itself; nothing when all is as it was sealed.
function payout_api.verify_settlements(p_from text DEFAULT NULL::text, p_to text DEFAULT NULL::text) returns TABLE(check_name text, detail text, hint text), plpgsql stable security definer, owner payout_owner, set search_path=pg_catalog, pg_temp; jit=off; enable_seqscan=off, rights: execute to payout_auditor; execute to payout_operator, body f2645e45ac31 -- One row for each settlement from p_from to p_to, by id (null: from the first, to the last), that is not scheduled to the last line, or has a secret in its metadata, and for each line and job without a settlement. None: all is well.
function payout_api.write_off(p_payee_id text, p_currency text, p_amount_minor bigint, p_reason text, p_preview boolean DEFAULT false) returns SETOF payout.act_result, plpgsql volatile security definer, owner payout_owner, set search_path=pg_catalog, pg_temp, rights: execute to payout_operator, body 19450e46373a -- Writes off reversed money of a payee, in minor units, oldest transfer first (payout_api.reversed_money); one row for each transfer. p_preview changes nothing.
