-- identity: the engine's settings, and the identity under which this database was adopted.
--
--   engine_settings (one row)  lease, windows, bounds, the Stripe account that pays
--   adoptions                  each time the database was adopted; the newest row counts

create table payout.engine_settings (
    is_single_row boolean not null default true,
    installation_id text not null default replace(gen_random_uuid()::text, '-', ''),
    lease_for interval not null default '30 seconds',
    http_deadline_for interval not null default '20 seconds',
    send_window_for interval not null default '20 hours',
    comparison_counts_for interval not null default '1 hour',
    attempt_drain_for interval not null default '15 minutes',
    max_tries integer not null default 50,
    max_generations integer not null default 30,
    largest_claim integer not null default 1000,
    transfers_per_wakeup integer not null default 100,
    queue_wakeup_again_after interval not null default '5 seconds',
    is_livemode boolean,
    stripe_account_id text,
    indeterminate_for interval not null default '24 hours',
    scans_apart_for interval not null default '60 minutes',
    approval_limit_minor bigint not null default 100000,
    proposals_expire_after interval not null default '24 hours',
    max_alarms integer not null default 10,
    alarm_window_for interval not null default '10 minutes',
    sends_per_second numeric,
    reads_per_second numeric default 10,
    account_change_waits_for interval not null default '0',
    constraint engine_settings_pkey primary key (is_single_row),
    constraint there_is_one_row check (is_single_row),
    constraint installation_id_has_32_digits check (installation_id ~ '^[0-9a-f]{32}$'),
    constraint lease_outlasts_the_http_deadline
        check (http_deadline_for > '0' and lease_for > http_deadline_for),
    -- The last send of a key begins when its window ends, and may take its lease and drain. The
    -- first may be one that the database has forgotten since its last comparison.
    constraint last_send_ends_before_stripe_forgets_the_key check (
        send_window_for > '0'
        and comparison_counts_for + send_window_for + lease_for + attempt_drain_for < '24 hours'),
    -- Workers look every five to ten minutes whether to compare again.
    constraint comparison_counts_for_a_while check (comparison_counts_for >= '15 minutes'),
    constraint attempts_drain_for_a_quarter_of_an_hour check (
        attempt_drain_for >= '15 minutes' and attempt_drain_for >= http_deadline_for),
    constraint attempts_drain_between_two_scans check (
        lease_for + attempt_drain_for < scans_apart_for),
    constraint bounds_are_positive check (
        max_tries > 0 and max_generations > 0
        and transfers_per_wakeup > 0 and queue_wakeup_again_after >= '0'
        and max_alarms > 0 and alarm_window_for > '0'),
    -- A larger claim is refused: with less, workers that ask as they may would claim nothing.
    constraint largest_claim_serves_every_worker check (largest_claim >= 100),
    constraint stripe_account_id_looks_like_one check (
        stripe_account_id ~ '^acct_[A-Za-z0-9_]+$' and length(stripe_account_id) <= 255),
    constraint stripe_account_is_fixed_with_its_mode
        check (stripe_account_id is null or is_livemode is not null),
    -- A day may have 23 hours, by the time zone of the session.
    constraint stripe_settles_within_a_day check (
        extract(hour from indeterminate_for) >= 24 or indeterminate_for >= '25 hours'),
    constraint scans_are_an_hour_apart check (scans_apart_for >= '60 minutes'),
    constraint approval_limit_is_an_amount check (approval_limit_minor >= 0),
    constraint proposals_live_for_a_while check (proposals_expire_after > '0'),
    -- A turn that is a minute ahead counts as one of a wrong clock.
    constraint paces_can_be_kept check (
        least(sends_per_second, reads_per_second) >= 0.1
        and greatest(sends_per_second, reads_per_second) <= 10000.0),
    constraint account_change_waits_no_less_than_no_time check (account_change_waits_for >= '0'),
    -- Beyond, sums of times and numbers are none that Postgres holds: nothing would go on.
    constraint times_and_numbers_can_be_added_up check (
        greatest(indeterminate_for, scans_apart_for, proposals_expire_after, alarm_window_for,
            queue_wakeup_again_after, account_change_waits_for) <= '1 year'
        and greatest(max_tries, max_generations, largest_claim, transfers_per_wakeup, max_alarms)
            <= 1000000)
);
comment on table payout.engine_settings is 'The engine''s numbers, in one row.';
comment on column payout.engine_settings.installation_id is
    'Made once, with the first migration; part of each payout_ref and in the metadata of each '
    'transfer. A restored copy keeps it, so that the keys of both collide at Stripe.';
comment on column payout.engine_settings.lease_for is
    'The time for which a claim holds a transfer.';
comment on column payout.engine_settings.http_deadline_for is
    'Total time for one call to Stripe; a send begins no later than the lease minus this.';
comment on column payout.engine_settings.send_window_for is
    'The time for which a key may be sent once its transfer is due; Stripe forgets it in 24 hours.';
comment on column payout.engine_settings.comparison_counts_for is
    'The time from its begin for which a comparison of Stripe''s newest transfers allows claims.';
comment on column payout.engine_settings.attempt_drain_for is
    'The time after its lease for which an attempt without a report still counts as open.';
comment on column payout.engine_settings.max_tries is
    'Counted tries under one key before the transfer is parked.';
comment on column payout.engine_settings.max_generations is
    'Keys that one transfer may use, those aside that were declined for lack of funds.';
comment on column payout.engine_settings.largest_claim is
    'Most transfers that one claim may ask for: no fewer than the 100 that a worker asks for.';
comment on column payout.engine_settings.transfers_per_wakeup is
    'The number of transfers for one wake-up job, so that several workers share a settlement.';
comment on column payout.engine_settings.queue_wakeup_again_after is
    'A transfer that is due for longer than this without a waiting wake-up job gets another.';
comment on column payout.engine_settings.is_livemode is
    'The Stripe mode that answers must have; null: not fixed yet.';
comment on column payout.engine_settings.stripe_account_id is
    'The Stripe account that pays; null until the first claim names one, together with its mode.';
comment on column payout.engine_settings.indeterminate_for is
    'The time after an attempt without a definite answer for which Stripe may still carry it out.';
comment on column payout.engine_settings.scans_apart_for is
    'The shortest time between two scans of Stripe''s list that prove a transfer absent.';
comment on column payout.engine_settings.approval_limit_minor is
    'Above this amount, in minor units of any currency, two people are needed for a new key after '
    'a proof of absence, and for what an operator settles outside, writes off or repays.';
comment on column payout.engine_settings.proposals_expire_after is
    'The time for which another person may approve a proposal.';
comment on column payout.engine_settings.max_alarms is
    'Alarms about so many transfers within alarm_window_for place a hold on the engine.';
comment on column payout.engine_settings.alarm_window_for is
    'The time in which alarms are counted, and in which a worker''s success shows that Stripe '
    'refuses the key of another worker only.';
comment on column payout.engine_settings.sends_per_second is
    'The most requests for transfers that all workers together send in a second; null: as many as '
    'Stripe takes, which refusals for the rate show.';
comment on column payout.engine_settings.reads_per_second is
    'The most pages of Stripe''s lists that all workers together read in a second; null: any.';
comment on column payout.engine_settings.account_change_waits_for is
    'The time for which nothing new goes to a payee whose Stripe account was changed.';

create trigger _500_refuse_another_installation
    before update on payout.engine_settings
    for each row
    when (old.installation_id is distinct from new.installation_id)
    execute function payout.tg__refuse_change();
alter table payout.engine_settings enable always trigger _500_refuse_another_installation;
create trigger _500_refuse_delete before delete on payout.engine_settings
    for each row execute function payout.tg__refuse_change();
alter table payout.engine_settings enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.engine_settings
    for each statement execute function payout.tg__refuse_change();
alter table payout.engine_settings enable always trigger _500_refuse_truncate;
create constraint trigger _900_check_account
    after update on payout.engine_settings
    deferrable initially deferred
    for each row
    when (old.stripe_account_id is not null
        and (old.stripe_account_id, old.is_livemode)
            is distinct from (new.stripe_account_id, new.is_livemode))
    execute function payout.tg_engine_settings__check_account();
alter table payout.engine_settings enable always trigger _900_check_account;
-- Not ALWAYS: a replica gets the record by itself.
create trigger _900_record_change
    after update on payout.engine_settings
    for each row
    execute function payout.tg_engine_settings__record_change();


create table payout.adoptions (
    adoption_id bigint not null generated always as identity,
    system_identifier bigint,
    timeline_id integer,
    database_oid oid,
    table_oid oid,
    is_installation boolean not null default false,
    read_id bigint,
    reason text not null,
    recorded_by text not null default session_user,
    recorded_at timestamptz not null default now(),
    is_first_claim boolean not null default false,
    constraint adoptions_pkey primary key (adoption_id),
    constraint identity_is_whole_or_none check (
        num_nulls(system_identifier, timeline_id, database_oid, table_oid) in (0, 4)),
    constraint installation_has_an_identity check (
        not is_installation or system_identifier is not null),
    constraint reason_is_given check (length(btrim(reason)) > 0)
);
comment on table payout.adoptions is
    'The identities under which this database was adopted; the newest row counts. Claims are '
    'refused under any other identity. A row without an identity stops claims until the database '
    'is adopted again: the Stripe account was changed, or Stripe has what another database sent.';
comment on column payout.adoptions.system_identifier is
    'pg_control_system(): another one is another cluster, so the data was restored into it.';
comment on column payout.adoptions.timeline_id is
    'Another timeline: a standby was promoted, or the cluster was recovered to a point in time.';
comment on column payout.adoptions.database_oid is
    'Another database: a clone by template, or a dump restored beside the first one.';
comment on column payout.adoptions.table_oid is
    'Of payout.transfer_states; another one: a dump was restored into the same database.';
comment on column payout.adoptions.is_installation is
    'Recorded by the migration, in a database without transfers: older ones were loaded later.';
comment on column payout.adoptions.read_id is
    'The comparison that the adoption relied on, or the read that showed why to stop; null: none.';
comment on column payout.adoptions.is_first_claim is
    'Written when the installation handed out its first transfer. Without it attempts are those of '
    'another installation, from which data were loaded.';

create trigger _500_refuse_change before update or delete on payout.adoptions
    for each row execute function payout.tg__refuse_change();
alter table payout.adoptions enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.adoptions
    for each statement execute function payout.tg__refuse_change();
alter table payout.adoptions enable always trigger _500_refuse_truncate;
