-- 0001-baseline: the payout engine 1.0: roles, schemas, types, tables, reference rows, functions and views

set local lock_timeout = '5s';
set local statement_timeout = '60s';
set local check_function_bodies = off;

-- frozen: sql/roles.sql ccdefbc093a5
reset role;

do $$
declare
    v_role record;
begin
    for v_role in
        select *
        from (values
            ('payout_owner', 'Owns every object of the payout engine; no login uses it.'),
            ('payout_app',
                'The marketplace: registers payees, inserts and completes settlements.'),
            ('payout_worker',
                'The process that calls Stripe: claims transfers, reports outcomes.'),
            ('payout_operator',
                'Operators on call: hold, release and the other calls with a reason.'),
            ('payout_approver',
                'The second person: approves what an operator has proposed, never what he '
                'proposed himself.'),
            ('payout_auditor', 'Reads everything, changes nothing.')
        ) as r (name, description)
    loop
        if not exists (select from pg_catalog.pg_roles as r where r.rolname = v_role.name) then
            execute format('create role %I nologin', v_role.name);
        end if;
        -- Those of another installation in the cluster, or made by hand, may be another login's.
        if pg_catalog.shobj_description(v_role.name::pg_catalog.regrole, 'pg_authid') is null then
            begin
                execute format('comment on role %I is %L', v_role.name, v_role.description);
            exception when insufficient_privilege then
                raise debug 'role % has no comment', v_role.name;
            end;
        end if;
    end loop;

    -- Only a member may hand objects to payout_owner; a superuser needs no membership.
    if not pg_catalog.pg_has_role(current_user, 'payout_owner', 'member') then
        execute format('grant payout_owner to %I', current_user);
    end if;
end
$$;

create schema if not exists payout authorization payout_owner;
comment on schema payout is
    'Private: tables, guards and the functions behind payout_api. These tables '
    'are the truth; the queue only wakes workers.';
create schema if not exists payout_api authorization payout_owner;
comment on schema payout_api is
    'Everything that may be called: by the application, the worker, operators and auditors.';

grant usage on schema payout to payout_app, payout_operator, payout_auditor;
grant usage on schema payout_api to
    payout_app, payout_worker, payout_operator, payout_approver, payout_auditor;

-- So a file grants only to further roles. The second one is of tables and of views.
alter default privileges for role payout_owner revoke execute on functions from public;
alter default privileges for role payout_owner in schema payout, payout_api
    grant select on tables to payout_operator, payout_auditor;

-- A caller who may create temporary objects could put them in front of a name.
do $$
begin
    execute format('revoke temporary on database %I from public', current_database());
end
$$;

set local role payout_owner;
-- frozen: procedures/common/id_fits.sql 5b7b2cbdcde7
create or replace function payout.id_fits(p_id text)
returns boolean
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    -- E'': a session may read plain literals in the old way.
    v_broken text := case
        when p_id ~ E'^[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]'
            or p_id ~ E'[ \\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]$'
            then 'id_has_no_blank_at_its_ends'
        when p_id ~ E'[\\x01-\\x1f\\x7f-\\x9f]' then 'id_has_no_control_characters'
        -- Soft hyphen, byte order mark and other invisible ones; the two joiners are allowed,
        -- because some scripts are written with them.
        when p_id ~ E'[\\u00ad\\u061c\\u180e\\u200b\\u200e\\u200f\\u202a-\\u202e'
                '\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb]'
            then 'id_has_no_invisible_characters'
        when length(p_id) not between 1 and 200 then 'id_is_1_to_200_characters'
        when p_id is not nfc normalized then 'id_is_in_unicode_normal_form_c'
    end;
begin
    if v_broken is not null then
        raise exception 'value for domain payout.external_id violates check constraint "%"',
            v_broken
            using
                errcode = '23514',
                detail = format('The id is %L.', left(p_id, 60)),
                schema = 'payout',
                datatype = 'external_id',
                constraint = v_broken;
    end if;
    return true;
end
$$;
comment on function payout.id_fits(text) is
    'Check: 1 to 200 characters, no blank at its ends, no control or invisible characters, '
    'normal form C.';
grant execute on function payout.id_fits(text) to payout_app;
-- frozen: sql/types.sql 5894098194d2
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
-- frozen: procedures/common/tg__refuse_change.sql 64ccc9cda8ce
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
            detail = format('The rows of %s.%s are on record.', tg_table_schema, tg_table_name),
            hint = 'A correction is a new row, or an act of payout_api.',
            schema = tg_table_schema,
            table = tg_table_name;
end
$$;
comment on function payout.tg__refuse_change() is
    'Trigger: refuses update, delete and truncate of an insert-only table, and of others the '
    'command or change that it is made for (SP101).';
-- frozen: sql/tables/catalogues.sql bfafc9d2df6e
create table payout.catalogues (
    catalogue_id bigint not null generated always as identity,
    objects jsonb not null,
    server_major integer not null default current_setting('server_version_num')::integer / 10000,
    reason text not null,
    recorded_by text not null default session_user,
    recorded_at timestamptz not null default now(),
    constraint catalogues_pkey primary key (catalogue_id),
    constraint objects_is_an_object check (jsonb_typeof(objects) = 'object'),
    constraint reason_is_given check (length(btrim(reason)) > 0)
);
comment on table payout.catalogues is
    'Functions, triggers, constraints, rights, reference rows and all other objects of the engine, '
    'written at the end of each migration; the doctor compares the newest row with the database.';
comment on column payout.catalogues.objects is
    'For each object its definition, and its text as the server writes it.';
comment on column payout.catalogues.server_major is
    'The major version of the server that wrote these texts; another one may write them otherwise.';

create trigger _500_refuse_change before update or delete on payout.catalogues
    for each row execute function payout.tg__refuse_change();
alter table payout.catalogues enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.catalogues
    for each statement execute function payout.tg__refuse_change();
alter table payout.catalogues enable always trigger _500_refuse_truncate;
-- frozen: procedures/identity/tg_engine_settings__check_account.sql 3c472215d847
create or replace function payout.tg_engine_settings__check_account()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set lock_timeout = '1s'
as $$
begin
    begin
        lock table payout.adoptions in access exclusive mode;
    exception when lock_not_available or deadlock_detected then
        raise exception 'the Stripe account is not changed while claims are under way'
            using
                errcode = 'SP402',
                hint = 'Repeat the change. A transaction that has read payout.adoptions is open, '
                    'see pg_locks.';
    end;
    perform payout.refuse_unsafe_account_change(old, new.is_livemode);
    return null;
end
$$;
comment on function payout.tg_engine_settings__check_account() is
    'Deferred trigger: refuses another Stripe account or mode if a claim or page came meanwhile '
    '(SP411).';
-- frozen: procedures/identity/tg_engine_settings__record_change.sql f7d80919677c
create or replace function payout.tg_engine_settings__record_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set intervalstyle = 'postgres'
as $$
begin
    insert into payout.operator_actions (action, subject, reason, details)
    select 'change_setting', n.key,
        coalesce(nullif(current_setting('payout.reason', true), ''), 'engine_settings was updated'),
        jsonb_build_object('old', o.value, 'new', n.value)
    from jsonb_each(to_jsonb(old)) as o
    join jsonb_each(to_jsonb(new)) as n on n.key = o.key
    where n.value <> o.value
    order by n.key;
    return null;
end
$$;
comment on function payout.tg_engine_settings__record_change() is
    'Trigger: writes the old and the new value of each changed setting into operator_actions.';
-- frozen: sql/tables/identity.sql b3a739f4a498
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
-- frozen: procedures/transfers/tg_ledger_entries__check_movement.sql f8aa1a572841
create or replace function payout.tg_ledger_entries__check_movement()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean := false;
begin
    if new.kind = 'obligation' then
        v_exists := new.debit_account = 'settlement_funds'
            and new.credit_account like 'payable:_%' and new.generation = 1;
    elsif new.kind = 'reserve' then
        v_exists := new.debit_account like 'payable:_%' and new.credit_account = 'in_flight';
    elsif new.kind = 'paid' then
        v_exists := new.debit_account = 'in_flight' and new.credit_account = 'stripe_balance';
    elsif new.kind = 'release' then
        v_exists := new.debit_account = 'in_flight' and new.credit_account like 'payable:_%';
    elsif new.kind = 'reversal' then
        v_exists := new.debit_account = 'stripe_balance'
            and new.credit_account like 'payable:_%'
            and new.stripe_reversal_id is not null;
    elsif new.kind in ('cancel', 'settle_outside') then
        v_exists := (new.debit_account = 'in_flight' or new.debit_account like 'payable:_%')
            and new.credit_account = case new.kind
                when 'cancel' then 'settlement_funds' else 'paid_outside' end;
    elsif new.kind = 'write_off' then
        v_exists := new.debit_account like 'payable:_%'
            and new.credit_account = 'settlement_funds';
    end if;
    if not v_exists or new.amount_minor <= 0
        or (new.stripe_reversal_id is not null and new.kind <> 'reversal')
        or (new.operator_action_id is not null)
            <> (new.kind in ('cancel', 'settle_outside', 'write_off')) then
        perform payout.refuse_bad_row('ledger_entries', case
            when new.amount_minor <= 0 then 'amount_is_positive'
            when new.kind = 'obligation' and new.generation <> 1
                then 'obligation_is_of_the_first_generation'
            else 'movement_exists'
        end);
    end if;
    return new;
end
$$;
comment on function payout.tg_ledger_entries__check_movement() is
    'Trigger: the amount is above 0, the accounts are those of the kind, only reversals name a '
    'reversal, and only what an operator ordered names the act (23514).';
-- frozen: sql/tables/ledger.sql af36829ce77a
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
    operator_action_id bigint,
    created_at timestamptz not null default current_timestamp,
    constraint ledger_entries_pkey primary key (ledger_entry_id),
    constraint ledger_entries_payout_transfer_id_kind_generation_origin_key
        unique nulls not distinct (
            payout_transfer_id, kind, generation, stripe_reversal_id, operator_action_id)
);
comment on table payout.ledger_entries is
    'Double-entry books: each row moves an amount from one account to another, so it balances by '
    'construction. Insert-only.';
comment on column payout.ledger_entries.amount_minor is
    'In minor units of currency, always positive.';
comment on column payout.ledger_entries.kind is
    'obligation: owed; reserve: set aside for sending; paid: Stripe moved it; release: back to the '
    'payee''s account in these books; reversal: Stripe took it back; cancel: not owed after all; '
    'settle_outside: paid in another way; write_off: taken back by Stripe and not owed any more.';
comment on column payout.ledger_entries.stripe_reversal_id is
    'Stripe''s trr_ id, for kind reversal only: each reversal is booked once.';
comment on column payout.ledger_entries.operator_action_id is
    'The act that ordered it, for kinds cancel, settle_outside and write_off only. No foreign key: '
    'its row is written in the same transaction.';

create unique index ledger_entries_stripe_reversal_id_key
    on payout.ledger_entries (stripe_reversal_id) where stripe_reversal_id is not null;

create trigger _500_check_movement
    before insert on payout.ledger_entries
    for each row
    execute function payout.tg_ledger_entries__check_movement();
alter table payout.ledger_entries enable always trigger _500_check_movement;
create trigger _500_refuse_change before update or delete on payout.ledger_entries
    for each row execute function payout.tg__refuse_change();
alter table payout.ledger_entries enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.ledger_entries
    for each statement execute function payout.tg__refuse_change();
alter table payout.ledger_entries enable always trigger _500_refuse_truncate;


create table payout.open_reversals (
    payout_transfer_id bigint not null,
    ledger_entry_id bigint not null,
    constraint open_reversals_pkey primary key (payout_transfer_id, ledger_entry_id)
);
comment on table payout.open_reversals is
    'The reversals of transfers of which something is owed again: the list of reversed_money, '
    'which reads the amounts in the books. A row is gone once all of its transfer is written off '
    'or repaid. No foreign keys: verify_books compares.';

create trigger _500_refuse_truncate before truncate on payout.open_reversals
    for each statement execute function payout.tg__refuse_change();
alter table payout.open_reversals enable always trigger _500_refuse_truncate;
-- frozen: procedures/transfers/tg_caps__record_change.sql b2edae7d18aa
create or replace function payout.tg_caps__record_change()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.operator_actions (action, subject, reason, details)
    values ('change_cap', concat_ws(' ', new.scope, new.currency),
        coalesce(nullif(current_setting('payout.reason', true), ''), 'caps was updated'),
        jsonb_build_object('old', to_jsonb(old), 'new', to_jsonb(new)));
    return null;
end
$$;
comment on function payout.tg_caps__record_change() is
    'Trigger: writes the old and the new cap into operator_actions.';
-- frozen: sql/tables/lists.sql c4b4db18e404
create table payout.currencies (
    currency payout.currency_code not null,
    minor_digits smallint not null,
    amount_step integer not null default 1,
    minor_unit numeric not null generated always as (
        case minor_digits when 0 then 1 when 3 then 0.001 else 0.01 end) stored,
    constraint currencies_pkey primary key (currency),
    constraint minor_digits_are_0_2_or_3 check (minor_digits in (0, 2, 3)),
    constraint amount_step_is_a_power_of_ten check (amount_step in (1, 10, 100))
);
comment on table payout.currencies is
    'The currencies Stripe transfers and how it counts them (docs.stripe.com/currencies). An '
    'operator adds one with payout_api.add_currency, a release in sql/data/currencies.sql.';
-- Errors tell the application to look here.
grant select on payout.currencies to payout_app;
comment on column payout.currencies.minor_digits is
    'Decimal places between the currency and its minor unit: 2 for usd, 0 for jpy, 3 for kwd.';
comment on column payout.currencies.amount_step is
    'An amount must be a multiple of this: 10 for three-decimal currencies, 100 for isk and ugx.';
comment on column payout.currencies.minor_unit is
    'One minor unit in the currency itself: 0.01 for usd. An amount times this has its digits.';

create trigger _500_refuse_change before update or delete on payout.currencies
    for each row execute function payout.tg__refuse_change();
alter table payout.currencies enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.currencies
    for each statement execute function payout.tg__refuse_change();
alter table payout.currencies enable always trigger _500_refuse_truncate;


create table payout.states (
    state text not null,
    is_final boolean not null,
    entry_kind text,
    credit_account text,
    status payout.payout_status not null,
    status_on_hold payout.payout_status not null,
    meaning text not null,
    constraint states_pkey primary key (state)
);
comment on table payout.states is 'The states of a transfer, each with its meaning.';
comment on column payout.states.is_final is 'True when no move leads out of the state.';
comment on column payout.states.entry_kind is
    'The kind of ledger entry that a move to this state books; null: it books none.';
comment on column payout.states.credit_account is
    'The account that this entry credits; null: that of the payee. It debits in_flight, or the '
    'payee''s account where the transfer had failed.';
comment on column payout.states.status is 'The application''s word for the state.';
comment on column payout.states.status_on_hold is
    'Its word while a hold keeps the transfer back; the same where Stripe may have been asked '
    'already, or nothing is to be sent.';

create trigger _500_refuse_change before update or delete on payout.states
    for each row execute function payout.tg__refuse_change();
alter table payout.states enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.states
    for each statement execute function payout.tg__refuse_change();
alter table payout.states enable always trigger _500_refuse_truncate;


create table payout.situations (
    situation text not null,
    whose_turn text not null,
    for_seller text not null,
    for_operator text not null,
    next_call text,
    constraint situations_pkey primary key (situation),
    constraint turn_is_of_a_known_party
        check (whose_turn in ('engine', 'stripe', 'payee', 'operator', 'nobody'))
);
comment on table payout.situations is
    'The situations that a transfer can be in: its state with all that bears on the next step, '
    'each with the words for it. payout_api.explained gives each transfer one.';
comment on column payout.situations.for_seller is 'In words that the payee may read.';
comment on column payout.situations.for_operator is
    'Follows the reason. {until}, {hold} and {why} stand for the time of the next step and the '
    'hold with its reason.';
comment on column payout.situations.next_call is
    'The call that moves the transfer, with {transfer} and {hold} for the numbers; null: none does '
    'or needs to.';

create trigger _500_refuse_truncate before truncate on payout.situations
    for each statement execute function payout.tg__refuse_change();
alter table payout.situations enable always trigger _500_refuse_truncate;


create table payout.state_edges (
    from_state text not null,
    to_state text not null,
    why text not null,
    constraint state_edges_pkey primary key (from_state, to_state),
    constraint state_edges_from_state_fkey
        foreign key (from_state) references payout.states (state),
    constraint state_edges_to_state_fkey
        foreign key (to_state) references payout.states (state),
    constraint edge_leads_elsewhere check (from_state <> to_state)
);
comment on table payout.state_edges is
    'The only moves a transfer may make; a guard on transfer_states refuses every other one.';

create trigger _500_refuse_change before update or delete on payout.state_edges
    for each row execute function payout.tg__refuse_change();
alter table payout.state_edges enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.state_edges
    for each statement execute function payout.tg__refuse_change();
alter table payout.state_edges enable always trigger _500_refuse_truncate;


create table payout.ledger_accounts (
    account text not null,
    meaning text not null,
    constraint ledger_accounts_pkey primary key (account)
);
comment on table payout.ledger_accounts is
    'The chart of accounts. `payable` has one sub-account a payee, written payable:<payee_id>.';

create trigger _500_refuse_change before update or delete on payout.ledger_accounts
    for each row execute function payout.tg__refuse_change();
alter table payout.ledger_accounts enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.ledger_accounts
    for each statement execute function payout.tg__refuse_change();
alter table payout.ledger_accounts enable always trigger _500_refuse_truncate;


create table payout.stripe_error_rules (
    error_rule_id integer not null,
    signal text not null,
    http_status_from integer,
    http_status_to integer,
    error_type text,
    error_code text,
    error_param text,
    is_replayed boolean,
    should_retry text,
    is_rate_limited boolean,
    reaction text not null,
    sends_to_believe integer not null default 1,
    is_alarm boolean not null default false,
    is_counted_try boolean not null default true,
    awaits text,
    payees_to_pause integer,
    wait_at_least interval not null default '0',
    wait_base interval not null default '1 second',
    wait_cap interval not null default '15 minutes',
    reason text not null,
    advice text not null,
    constraint stripe_error_rules_pkey primary key (error_rule_id),
    constraint signal_is_known check (signal in (
        'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired', 'key_expired',
        'looked_up')),
    constraint status_range_is_whole check (
        (http_status_from is null) = (http_status_to is null)
        and http_status_from <= http_status_to),
    constraint should_retry_is_stripes_header check (should_retry in ('true', 'false')),
    constraint reaction_is_known check (reaction in (
        'retry', 'decline', 'unknown', 'park', 'pause', 'absent')),
    constraint only_a_decline_waits check (
        awaits is null or (reaction = 'decline' and awaits in ('funds', 'account'))),
    constraint several_payees_pause check (payees_to_pause > 1),
    constraint a_send_is_needed_to_believe check (sends_to_believe > 0),
    constraint waits_are_in_order check (
        wait_at_least >= '0' and wait_base > '0' and wait_cap >= wait_base)
);
comment on table payout.stripe_error_rules is
    'The meaning of an answer that is no success, as data: the first rule in order of its id that '
    'fits counts; a null column fits everything.';
comment on column payout.stripe_error_rules.sends_to_believe is
    'A decline that Stripe does not save counts once so many sends under the key got it: had the '
    'first one been executed, the second would be answered with its transfer.';
comment on column payout.stripe_error_rules.is_counted_try is
    'False: the request was surely not processed, so that it costs no try.';
comment on column payout.stripe_error_rules.awaits is
    'A decline that later passes by itself: the currency waits for funds, or the payee for an '
    'account that takes transfers, and then a new key is opened; null: it does not pass.';
comment on column payout.stripe_error_rules.payees_to_pause is
    'Once so many payees get it from a worker since it last paid, it is the Stripe key that is '
    'refused, as with reaction pause; null: never.';
comment on column payout.stripe_error_rules.error_param is
    'The parameter that the error names; null fits any.';
comment on column payout.stripe_error_rules.should_retry is 'Stripe-Should-Retry; null fits any.';
comment on column payout.stripe_error_rules.is_rate_limited is
    'True: fits an answer with Stripe-Rate-Limited-Reason; false: without; null: fits both.';
comment on column payout.stripe_error_rules.wait_at_least is
    'The shortest wait before the next step.';
comment on column payout.stripe_error_rules.advice is
    'The next step for an operator, shown beside the reason.';
comment on column payout.stripe_error_rules.reaction is
    'retry: surely not executed, same key; decline: money back to the payee, if Stripe saved the '
    'answer or nothing else can have had an effect under the key, else park; unknown: perhaps '
    'executed, same key, and the doubt stays; park: wait for an operator or a look-up in Stripe''s '
    'list; pause: hold the worker or the engine; absent: proved absent, money back to the payee '
    'and a new key.';

create trigger _500_refuse_truncate before truncate on payout.stripe_error_rules
    for each statement execute function payout.tg__refuse_change();
alter table payout.stripe_error_rules enable always trigger _500_refuse_truncate;


create table payout.discrepancy_kinds (
    kind text not null,
    advice text not null,
    constraint discrepancy_kinds_pkey primary key (kind)
);
comment on table payout.discrepancy_kinds is
    'The kinds of discrepancy that a comparison can find or an edit of the application makes. '
    'Alarms are discrepancies too; their kind is the reason of the alarm.';
comment on column payout.discrepancy_kinds.advice is 'The next step for an operator.';

create trigger _500_refuse_truncate before truncate on payout.discrepancy_kinds
    for each statement execute function payout.tg__refuse_change();
alter table payout.discrepancy_kinds enable always trigger _500_refuse_truncate;
-- frozen: sql/tables/limits.sql 9cf5430c8571
-- They are sequences, because no claim must wait for another one's commit (D-130).
create sequence payout.send_turns;
comment on sequence payout.send_turns is
    'The time of the first turn to send that is not handed out yet, in microseconds since 1970.';

create sequence payout.read_turns;
comment on sequence payout.read_turns is
    'The same for reading a page of Stripe''s lists.';


create table payout.paces (
    kind text not null,
    per_second numeric,
    refused_per_second numeric,
    refused_at timestamptz,
    grown_at timestamptz not null default now(),
    constraint paces_pkey primary key (kind),
    constraint kind_is_known check (kind in ('sends', 'reads')),
    constraint pace_is_positive check (per_second > 0 and refused_per_second > 0),
    constraint refusal_has_its_time check ((refused_at is null) <= (refused_per_second is null))
);
comment on table payout.paces is
    'How many requests a second all workers together make, as far as refusals have shown. '
    'Turns of that distance are handed out one after the other.';
comment on column payout.paces.per_second is
    'The pace that was found after Stripe refused requests for their rate; null: none is known, '
    'and engine_settings alone bounds it.';
comment on column payout.paces.refused_per_second is
    'The pace that was used when Stripe refused last; null: it is not known, or it has been passed '
    'since without a refusal.';
comment on column payout.paces.refused_at is
    'The time of that refusal; requests that were handed out before it were made at the old pace.';
comment on column payout.paces.grown_at is 'The time at which the pace was last made faster.';

create trigger _500_refuse_delete before delete on payout.paces
    for each row execute function payout.tg__refuse_change();
alter table payout.paces enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.paces
    for each statement execute function payout.tg__refuse_change();
alter table payout.paces enable always trigger _500_refuse_truncate;


create table payout.caps (
    scope text not null,
    currency payout.currency_code not null,
    largest_amount_minor bigint,
    largest_count integer,
    constraint caps_pkey primary key (scope, currency),
    constraint caps_currency_fkey
        foreign key (currency) references payout.currencies (currency),
    constraint scope_is_known check (scope in ('transfer', 'payee', 'engine')),
    constraint caps_are_not_negative check (largest_amount_minor >= 0 and largest_count >= 0),
    constraint a_transfer_is_not_counted check (scope <> 'transfer' or largest_count is null)
);
comment on table payout.caps is
    'The most that is handed out in a currency: as one transfer, to a payee in a day, and by the '
    'engine in an hour, both of UTC. No row, or null: no cap.';
comment on column payout.caps.largest_amount_minor is 'In minor units; null: any amount.';
comment on column payout.caps.largest_count is 'The number of transfers; null: any number.';

create trigger _500_refuse_delete before delete on payout.caps
    for each row execute function payout.tg__refuse_change();
alter table payout.caps enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.caps
    for each statement execute function payout.tg__refuse_change();
alter table payout.caps enable always trigger _500_refuse_truncate;
-- Not ALWAYS: a replica gets the record by itself.
create trigger _900_record_change
    after insert or update on payout.caps
    for each row
    execute function payout.tg_caps__record_change();


create table payout.cap_uses (
    scope text not null,
    subject text not null,
    currency payout.currency_code not null,
    begun_at timestamptz not null,
    amount_minor numeric not null,
    transfers integer not null,
    constraint cap_uses_pkey primary key (scope, currency, subject),
    constraint use_is_positive check (amount_minor > 0 and transfers > 0)
);
comment on table payout.cap_uses is
    'The part of each cap that has been handed out in its newest day or hour, counted while there '
    'is such a cap. A transfer counts once for each key, also if Stripe declines it.';
comment on column payout.cap_uses.subject is 'The payee; of the engine an empty text.';
comment on column payout.cap_uses.begun_at is 'The beginning of the day or hour, in UTC.';
comment on column payout.cap_uses.amount_minor is 'In minor units of currency.';

create trigger _500_refuse_delete before delete on payout.cap_uses
    for each row execute function payout.tg__refuse_change();
alter table payout.cap_uses enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.cap_uses
    for each statement execute function payout.tg__refuse_change();
alter table payout.cap_uses enable always trigger _500_refuse_truncate;
-- frozen: procedures/common/tg__close_once.sql 9ec6d8f1a8d7
create or replace function payout.tg__close_once()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if to_jsonb(old) ->> tg_argv[0] is not null
        or to_jsonb(new) - tg_argv is distinct from to_jsonb(old) - tg_argv then
        raise exception 'a row of %.% changes once, when % is set',
            tg_table_schema, tg_table_name, tg_argv[0]
            using
                errcode = 'SP104',
                hint = 'Its history stays: place another hold, or wait for the next comparison.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return new;
end
$$;
comment on function payout.tg__close_once() is
    'Trigger: lets a row set the columns that are its arguments, once, and no other (SP104).';
-- frozen: procedures/common/json_sha256.sql d850ab74a8d4
create or replace function payout.json_sha256(p_json jsonb)
returns bytea
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return sha256(convert_to(p_json::text, 'UTF8'));
end
$$;
comment on function payout.json_sha256(jsonb) is 'SHA-256 of a JSON text in UTF-8.';
-- frozen: procedures/transfers/tg_payout_transfers__derive.sql da971804a77e
create or replace function payout.tg_payout_transfers__derive()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_ref text;
    v_broken text;
begin
    select payout.payout_ref(
        e.installation_id, new.settlement_id, new.payee_id, new.source_transaction)
    into v_payout_ref
    from payout.engine_settings as e;
    if new.amount_minor <= 0 then
        v_broken := 'amount_is_positive';
    elsif new.payout_ref <> v_payout_ref then
        if current_setting('session_replication_role') = 'replica' then
            return new;
        end if;
        v_broken := 'payout_ref_is_derived';
    end if;
    if v_broken is not null then
        perform payout.refuse_bad_row('payout_transfers', v_broken);
    end if;
    new.payout_ref := v_payout_ref;
    return new;
end
$$;
comment on function payout.tg_payout_transfers__derive() is
    'Trigger: fills in payout_ref, or refuses a given one that differs, and an amount that is not '
    'above 0 (23514).';
-- frozen: procedures/transfers/tg_transfer_states__check_progress.sql fa5379f7ef56
create or replace function payout.tg_transfer_states__check_progress()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
    v_broken text;
begin
    if new.payout_transfer_id <> old.payout_transfer_id then
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
        select from payout.transfer_observations as k
        where k.payout_transfer_id = new.payout_transfer_id
            and k.generation = new.generation
            and k.signal = 'key_opened'
            and new.generation = old.generation + 1
    ) then
        v_problem := 'a new key needs its observation first';
    elsif new.generation = old.generation and old.window_begins_at is not null
        and new.window_begins_at is distinct from old.window_begins_at then
        v_problem := 'the send window of a key does not move';
    elsif new.generation = old.generation and old.has_unknown_send and not new.has_unknown_send then
        v_problem := 'a send whose outcome is unknown stays so under its key';
    elsif old.state = 'paid' then
        v_problem := 'a paid transfer does not change';
    elsif new.reason = 'awaiting_account' and old.reason is distinct from 'awaiting_account' then
        v_problem := 'only a transfer that never had a date waits for an account';
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
    v_broken := payout.progress_problem(new);
    if v_broken is not null then
        perform payout.refuse_bad_row('transfer_states', v_broken);
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_progress() is
    'Trigger: attempt and generation never go back, a new key has its evidence (SP103); the row '
    'keeps its rules (23514).';
-- frozen: procedures/transfers/tg_transfer_states__check_start.sql c975c1d7b43a
create or replace function payout.tg_transfer_states__check_start()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_broken text;
begin
    -- The row that a settlement writes for a payee who has an account.
    if new.state = 'scheduled' and new.generation = 1 and new.attempt = 0 and new.tries = 0
        and new.window_begins_at is null and new.next_attempt_at is not null and new.reason is null
        and new.lease_until is null and new.next_lookup_at is null
        and new.stripe_transfer_id is null then
        return new;
    end if;
    if (new.state <> 'scheduled' or new.generation <> 1 or new.attempt <> 0
        or new.window_begins_at is not null)
        and current_setting('session_replication_role') <> 'replica' then
        raise exception
            'transfer %: a transfer starts as scheduled, with its first key and no attempt',
            new.payout_transfer_id
            using
                errcode = 'SP103',
                detail = format(
                    'State %s, generation %s, attempt %s was asked for.',
                    new.state, new.generation, new.attempt),
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    v_broken := payout.progress_problem(new);
    if v_broken is not null then
        perform payout.refuse_bad_row('transfer_states', v_broken);
    end if;
    return new;
end
$$;
comment on function payout.tg_transfer_states__check_start() is
    'Trigger: a transfer starts as scheduled, with its first key and no attempt (SP103), and keeps '
    'the rules of its row (23514).';
-- frozen: procedures/transfers/tg_transfer_states__move.sql 13214712be68
create or replace function payout.tg_transfer_states__move()
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
    new.next_lookup_at := case new.state
        when 'parked' then payout.clock()
        when 'failed' then new.next_attempt_at
    end;
    new.hold_id := null;
    return new;
end
$$;
comment on function payout.tg_transfer_states__move() is
    'Trigger: rejects a change of transfer_states.state that is not in payout.state_edges (SP201); '
    'sets next_lookup_at when a transfer becomes parked or fails, else clears it; clears hold_id.';
-- frozen: procedures/transfers/tg_transfer_states__tell_status.sql d9fda886e774
create or replace function payout.tg_transfer_states__tell_status()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_hashjoin = on
set enable_nestloop = off
as $$
begin
    insert into payout.outcomes (
        payout_transfer_id, status, reason, hold_id, stripe_transfer_id, changed_at)
    select c.payout_transfer_id, w.status,
        case when w.status in ('failed', 'cancelled', 'settled_outside') then c.reason end,
        case when w.status = 'on_hold' then c.hold_id end,
        c.stripe_transfer_id,
        case when c.state = f.state then current_timestamp else c.changed_at end
    from changed as c
    join former as f on f.payout_transfer_id = c.payout_transfer_id
    join payout.states as a on a.state = f.state
    join payout.states as b on b.state = c.state
    cross join lateral (
        select
            case
                when c.state = 'scheduled' and c.next_attempt_at is null then 'waiting_for_account'
                when c.hold_id is null then b.status
                else b.status_on_hold
            end as status,
            case
                when f.state = 'scheduled' and f.next_attempt_at is null then 'waiting_for_account'
                when f.hold_id is null then a.status
                else a.status_on_hold
            end as former_status
    ) as w
    where w.status <> w.former_status
    order by c.payout_transfer_id;

    if found then
        perform payout.notify_application();
    end if;
    return null;
end
$$;
comment on function payout.tg_transfer_states__tell_status() is
    'Trigger: writes payout.outcomes for each transfer whose status for the application changed.';
-- frozen: sql/tables/transfers.sql e9c9426f0ec0
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
-- frozen: sql/tables/operations.sql 73157a84776a
create table payout.operator_actions (
    operator_action_id bigint not null generated always as identity,
    action text not null,
    subject text,
    reason text not null,
    details jsonb not null default '{}',
    acted_by text not null default session_user,
    acted_at timestamptz not null default now(),
    expires_at timestamptz,
    proposal_id bigint,
    constraint operator_actions_pkey primary key (operator_action_id),
    constraint operator_actions_proposal_id_fkey
        foreign key (proposal_id) references payout.operator_actions (operator_action_id),
    constraint reason_is_given check (length(btrim(reason)) > 0),
    constraint proposals_expire check ((action = 'propose') = (expires_at is not null)),
    constraint approvals_name_their_proposal check (
        (action = 'approve') = (proposal_id is not null))
);
comment on table payout.operator_actions is
    'Each act of an operator with its reason; also each stop that the engine made by itself, and '
    'each change of engine_settings or of a cap.';
comment on column payout.operator_actions.expires_at is
    'Of a proposal: the time until which another person may approve it.';
comment on column payout.operator_actions.proposal_id is 'Of an approval: the proposal.';

create unique index operator_actions_proposal_id_key
    on payout.operator_actions (proposal_id) where proposal_id is not null;
create index operator_actions_expires_at_idx
    on payout.operator_actions (expires_at) where expires_at is not null;

create index operator_actions_subject_idx on payout.operator_actions (subject, operator_action_id)
    where action in ('adopt_database', 'change_setting', 'change_cap', 'add_currency');

create trigger _500_refuse_change before update or delete on payout.operator_actions
    for each row execute function payout.tg__refuse_change();
alter table payout.operator_actions enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.operator_actions
    for each statement execute function payout.tg__refuse_change();
alter table payout.operator_actions enable always trigger _500_refuse_truncate;


create table payout.not_ours_rules (
    not_ours_rule_id bigint not null generated always as identity,
    created_before timestamptz,
    metadata_key text,
    destination text,
    is_everything boolean not null default false,
    reason text not null,
    recorded_by text not null default session_user,
    recorded_at timestamptz not null default now(),
    ended_at timestamptz,
    ended_by text,
    end_reason text,
    constraint not_ours_rules_pkey primary key (not_ours_rule_id),
    constraint only_a_rule_for_everything_has_no_condition check (
        is_everything = (num_nonnulls(created_before, metadata_key, destination) = 0)),
    constraint metadata_key_is_one check (length(metadata_key) between 1 and 40),
    constraint destination_is_a_stripe_account check (starts_with(destination, 'acct_')),
    constraint reason_is_given check (length(btrim(reason)) > 0),
    constraint end_is_whole check (
        (ended_at is null) = (ended_by is null)
        and (ended_at is null) = (end_reason is null))
);
comment on table payout.not_ours_rules is
    'Rules for transfers at Stripe that are not the engine''s: a comparison counts those that fit '
    'all conditions of a rule, and records no discrepancy. Nothing that may be ours fits any rule '
    '(payout.may_be_ours).';
comment on column payout.not_ours_rules.created_before is
    'Stripe made it before this time; null: at any time.';
comment on column payout.not_ours_rules.metadata_key is
    'Its metadata have this key; null: any metadata.';
comment on column payout.not_ours_rules.destination is
    'It went to this Stripe account; null: to any.';
comment on column payout.not_ours_rules.is_everything is
    'True: no condition; it fits everything that cannot be ours.';
comment on column payout.not_ours_rules.ended_at is
    'The time from which it counts no longer; the next comparison then reads the whole list.';

create unique index not_ours_rules_open_key
    on payout.not_ours_rules (created_before, metadata_key, destination) nulls not distinct
    where ended_at is null;

create trigger _500_refuse_delete before delete on payout.not_ours_rules
    for each row execute function payout.tg__refuse_change();
alter table payout.not_ours_rules enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.not_ours_rules
    for each statement execute function payout.tg__refuse_change();
alter table payout.not_ours_rules enable always trigger _500_refuse_truncate;
create trigger _500_close_once before update on payout.not_ours_rules
    for each row execute function payout.tg__close_once('ended_at', 'ended_by', 'end_reason');
alter table payout.not_ours_rules enable always trigger _500_close_once;


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
    found_by_read_id bigint,
    resolved_by_read_id bigint,
    resolved_by_rule_id bigint,
    constraint discrepancies_pkey primary key (discrepancy_id),
    constraint discrepancies_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint discrepancies_resolved_by_rule_id_fkey
        foreign key (resolved_by_rule_id) references payout.not_ours_rules (not_ours_rule_id),
    constraint resolution_is_whole check (
        (resolved_at is null) = (resolved_by is null)
        and (resolved_at is null) = (resolution is null)),
    constraint compared_names_a_transfer
        check (found_by_read_id is null or stripe_transfer_id is not null),
    constraint reads_resolve_what_they_compare check (
        resolved_by_read_id is null
        or (found_by_read_id is not null and resolved_at is not null)),
    constraint rules_resolve_what_reads_compare check (
        resolved_by_rule_id is null or (
            found_by_read_id is not null and resolved_at is not null
            and resolved_by_read_id is null))
);
comment on table payout.discrepancies is
    'Disagreements between Stripe, or the application, and these books: both sides, and the next '
    'step. Never deleted.';
comment on column payout.discrepancies.found_by_read_id is
    'The read of Stripe''s lists that found it first: a later one may find it again, or no longer; '
    'null: found in another way.';
comment on column payout.discrepancies.resolved_by_read_id is
    'The comparison that saw the transfer and no difference any more; then it may be found anew.';
comment on column payout.discrepancies.resolved_by_rule_id is
    'The rule by which the transfer is not ours; once that has ended it may be found anew.';

create index discrepancies_open_idx on payout.discrepancies (found_at) where resolved_at is null;
create index discrepancies_open_payout_transfer_id_idx
    on payout.discrepancies (payout_transfer_id) where resolved_at is null;
create index discrepancies_open_stripe_transfer_id_idx
    on payout.discrepancies (stripe_transfer_id) where resolved_at is null;
create unique index discrepancies_kind_stripe_transfer_id_compared_key
    on payout.discrepancies (kind, stripe_transfer_id)
    where found_by_read_id is not null and resolved_at is null;
create index discrepancies_resolved_by_rule_id_idx
    on payout.discrepancies (resolved_by_rule_id) where resolved_by_rule_id is not null;
create index discrepancies_settlement_edited_idx
    on payout.discrepancies ((ours ->> 'settlement_id')) where kind = 'settlement_edited';
create index discrepancies_explained_idx
    on payout.discrepancies (kind, stripe_transfer_id)
    where found_by_read_id is not null and resolved_at is not null
        and resolved_by_read_id is null and resolved_by_rule_id is null;

create trigger _500_refuse_delete before delete on payout.discrepancies
    for each row execute function payout.tg__refuse_change();
alter table payout.discrepancies enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.discrepancies
    for each statement execute function payout.tg__refuse_change();
alter table payout.discrepancies enable always trigger _500_refuse_truncate;
create trigger _500_close_once before update on payout.discrepancies
    for each row execute function payout.tg__close_once(
        'resolved_at', 'resolved_by', 'resolution', 'resolved_by_read_id', 'resolved_by_rule_id');
alter table payout.discrepancies enable always trigger _500_close_once;


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
    discrepancy_id bigint,
    expires_at timestamptz,
    awaits text,
    goes_on_at timestamptz,
    probe_transfer_id bigint,
    probes integer not null default 0,
    constraint holds_pkey primary key (hold_id),
    constraint holds_discrepancy_id_fkey
        foreign key (discrepancy_id) references payout.discrepancies (discrepancy_id),
    constraint scope_is_known check (
        scope in ('engine', 'worker', 'currency', 'payee', 'settlement', 'transfer')),
    constraint only_the_engine_has_no_subject check ((scope = 'engine') = (subject is null)),
    constraint reason_is_given check (length(btrim(reason)) > 0),
    constraint release_is_whole check (
        (released_at is null) = (released_by is null)
        and (released_at is null) = (release_reason is null)),
    constraint alarms_stop_their_transfer_or_the_engine check (
        discrepancy_id is null or scope in ('transfer', 'engine')),
    constraint cause_of_a_wait_is_known check (
        awaits in ('funds', 'account', 'cap', 'account_change')),
    constraint only_a_wait_goes_on check (
        awaits is not null
        or (goes_on_at is null and probe_transfer_id is null and probes = 0)),
    constraint probes_count_from_zero check (probes >= 0)
);
comment on table payout.holds is
    'Stops on sending: for the engine, a worker, a currency, a payee, a settlement or a transfer, '
    'until released.';
comment on column payout.holds.subject is
    'The name of the worker, the currency, the id of the payee, settlement or transfer.';
comment on column payout.holds.discrepancy_id is
    'The alarm that placed it; null: another reason, so that the end of an alarm does not end it.';
comment on column payout.holds.expires_at is
    'The time at which a sweep releases it; null: only an operator does, or the end of its alarm.';
comment on column payout.holds.awaits is
    'funds, account, cap, account_change: a wait, which the engine places and ends by itself, and '
    'which stops only transfers that were not sent under their key yet; null: any other hold.';
comment on column payout.holds.goes_on_at is
    'The time at which the engine ends a wait, or lets one transfer through to see whether it is '
    'over; null: only a person ends it.';
comment on column payout.holds.probe_transfer_id is
    'The transfer that was let through last; once it is paid the wait is over.';
comment on column payout.holds.probes is
    'How often one was let through, which makes the next time later.';

create unique index holds_scope_subject_open_key
    on payout.holds (scope, subject, (discrepancy_id is null), awaits) nulls not distinct
    where released_at is null;
create index holds_subject_of_a_cap_idx on payout.holds (subject) where awaits = 'cap';
create index holds_placed_at_idx on payout.holds (placed_at) where discrepancy_id is not null;

create trigger _500_refuse_delete before delete on payout.holds
    for each row execute function payout.tg__refuse_change();
alter table payout.holds enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.holds
    for each statement execute function payout.tg__refuse_change();
alter table payout.holds enable always trigger _500_refuse_truncate;
create trigger _500_close_once before update on payout.holds
    for each row execute function payout.tg__close_once(
        'released_at', 'released_by', 'release_reason', 'goes_on_at', 'probe_transfer_id',
        'probes');
alter table payout.holds enable always trigger _500_close_once;
-- frozen: procedures/transfers/tg_outcomes__announce.sql 02171be319ef
create or replace function payout.tg_outcomes__announce()
returns trigger
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_key bigint;
begin
    if current_setting('payout.announced_by', true) = pg_current_xact_id()::text then
        return null;
    end if;
    -- Far below every key that an application would use for its own locks.
    v_key := coalesce(pg_sequence_last_value('payout.outcomes_outcome_id_seq'::regclass), 0)
        - 9000000000000000000;
    while not pg_try_advisory_xact_lock_shared(v_key) loop
        v_key := v_key - 1;
    end loop;
    perform set_config('payout.announced_by', pg_current_xact_id()::text, true);
    return null;
end
$$;
comment on function payout.tg_outcomes__announce() is
    'Trigger: takes a shared lock whose key tells above which id this transaction writes outcomes.';
-- frozen: sql/tables/outcomes.sql 7f5d58124d7c
create table payout.outcomes (
    outcome_id bigint not null generated always as identity,
    payout_transfer_id bigint not null,
    status payout.payout_status not null,
    reason text,
    hold_id bigint,
    stripe_transfer_id text,
    reversed_minor bigint not null default 0,
    changed_at timestamptz not null default current_timestamp,
    constraint outcomes_pkey primary key (outcome_id)
);
comment on table payout.outcomes is
    'Each change of a transfer''s status, and each reversal, in the order in which the application '
    'reads them (payout_api.outcomes_since). Insert-only.';
comment on column payout.outcomes.outcome_id is
    'The cursor of the application: drawn after the writer has announced itself.';
comment on column payout.outcomes.reason is
    'The code of a failure, of an end by operators, or of a wait for an account; null for every '
    'other status.';
comment on column payout.outcomes.hold_id is
    'The hold that keeps it back, for status on_hold; its scope is the reason that is told.';
comment on column payout.outcomes.reversed_minor is
    'The sum that Stripe has taken back so far, in minor units of the transfer''s currency.';

-- Outcomes of a transfer come soon after it: verify_projection reads those of a range of transfers.
create index outcomes_payout_transfer_id_idx
    on payout.outcomes using brin (payout_transfer_id int8_minmax_multi_ops);

create trigger _100_announce before insert on payout.outcomes
    for each statement execute function payout.tg_outcomes__announce();
alter table payout.outcomes enable always trigger _100_announce;
create trigger _500_refuse_change before update or delete on payout.outcomes
    for each row execute function payout.tg__refuse_change();
alter table payout.outcomes enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.outcomes
    for each statement execute function payout.tg__refuse_change();
alter table payout.outcomes enable always trigger _500_refuse_truncate;


create sequence payout.awaited_outcomes;
comment on sequence payout.awaited_outcomes is
    'Called: the application has read since it was last notified. A sequence, because it is set '
    'outside of transactions.';
-- frozen: procedures/identity/database_identity.sql d51110a7bd9d
create or replace function payout.database_identity(
    out system_identifier bigint,
    out timeline_id integer,
    out database_oid oid,
    out table_oid oid
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    system_identifier := (pg_control_system()).system_identifier;
    timeline_id := case
        when pg_is_in_recovery() then (pg_control_checkpoint()).timeline_id
        else ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer
    end;
    database_oid := (select d.oid from pg_database as d where d.datname = current_database());
    table_oid := 'payout.transfer_states'::regclass;
end
$$;
comment on function payout.database_identity() is
    'System identifier, timeline, oid of the database and oid of payout.transfer_states.';
-- frozen: sql/tables/reads.sql eb80a4fbc9c3
create table payout.stripe_reads (
    read_id bigint not null generated always as identity,
    kind text not null,
    path text not null,
    queries jsonb not null,
    payout_transfer_id bigint,
    stripe_transfer_id text,
    worker text not null,
    begun_at timestamptz not null,
    books_from timestamptz,
    system_identifier bigint default (payout.database_identity()).system_identifier,
    timeline_id integer default (payout.database_identity()).timeline_id,
    database_oid oid default (payout.database_identity()).database_oid,
    table_oid oid default (payout.database_identity()).table_oid,
    server_started_at timestamptz default pg_postmaster_start_time(),
    adoption_id bigint,
    token_sha256s bytea[] not null default '{}',
    next_parameters jsonb,
    objects_seen bigint not null default 0,
    objects_expected bigint not null default 0,
    objects_found bigint not null default 0,
    not_ours jsonb not null default '{}',
    newest_created_at timestamptz,
    result text,
    is_alarm boolean not null default false,
    finished_at timestamptz,
    abandoned_at timestamptz,
    constraint stripe_reads_pkey primary key (read_id),
    constraint stripe_reads_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id),
    constraint kind_is_known
        check (kind in ('lookup', 'reversals', 'newest', 'events', 'comparison')),
    constraint lookup_names_its_transfer
        check ((kind = 'lookup') = (payout_transfer_id is not null)),
    constraint reversals_name_their_transfer
        check ((kind = 'reversals') = (stripe_transfer_id is not null)),
    constraint counts_are_not_negative
        check (objects_seen >= 0 and objects_expected >= 0 and objects_found >= 0),
    constraint read_is_finished_or_abandoned
        check (finished_at is null or abandoned_at is null),
    constraint finished_asks_no_more
        check (finished_at is null or (next_parameters is null and result is not null))
);
comment on table payout.stripe_reads is
    'Every read of one of Stripe''s lists, and how far it has come. A page is taken only with a '
    'token that claim_reads told.';
comment on column payout.stripe_reads.queries is
    'The parameters of each query, in order; together they list all there can be.';
comment on column payout.stripe_reads.worker is
    'The worker that began it; others may have gone on with it.';
comment on column payout.stripe_reads.begun_at is 'A time before the first request to Stripe.';
comment on column payout.stripe_reads.books_from is
    'A comparison expects the transfers that were sent and paid here between this time and '
    'begun_at.';
comment on column payout.stripe_reads.system_identifier is
    'With the next three: the identity of the database that began it, as in payout.adoptions.';
comment on column payout.stripe_reads.server_started_at is
    'The start of the server under which it was begun; only under the same it allows claims.';
comment on column payout.stripe_reads.adoption_id is
    'The newest of payout.adoptions when the read was begun; null: there was none.';
comment on column payout.stripe_reads.token_sha256s is
    'SHA-256 of the secret that each of the newest claims of it was told.';
comment on column payout.stripe_reads.next_parameters is
    'The parameters of the page that comes next; null: it is read to its end.';
comment on column payout.stripe_reads.objects_expected is
    'Transfers that the books had as paid within the time that a comparison covers.';
comment on column payout.stripe_reads.objects_found is
    'Transfers found by a look-up, reversals booked, transfers of which events told more '
    'reversed, or discrepancies of a comparison, of all or of the newest.';
comment on column payout.stripe_reads.not_ours is
    'Of a comparison, of all or of the newest, or of events: how many transfers each rule of '
    'not_ours_rules explained.';
comment on column payout.stripe_reads.newest_created_at is
    'The newest time of creation that Stripe has shown in this read or those before it, by '
    'Stripe''s clock; the next read of the kind begins a day before, of the newest an hour.';
comment on column payout.stripe_reads.result is 'One line for people, at the end of the read.';
comment on column payout.stripe_reads.abandoned_at is
    'The time at which it was given up: it no longer counted for this database.';

create unique index stripe_reads_one_goes_on_key on payout.stripe_reads (kind)
    where kind in ('newest', 'events', 'comparison')
        and finished_at is null and abandoned_at is null;
create index stripe_reads_kind_finished_idx on payout.stripe_reads (kind, read_id)
    where finished_at is not null;
create index stripe_reads_read_id_idx on payout.stripe_reads (read_id) where kind = 'comparison';
create index stripe_reads_payout_transfer_id_idx
    on payout.stripe_reads (payout_transfer_id) where payout_transfer_id is not null;

create trigger _500_refuse_rewrite
    before update on payout.stripe_reads
    for each row
    -- Not as rows: a restored database would write the condition otherwise (the catalogue).
    when (
        old.read_id is distinct from new.read_id
        or old.kind is distinct from new.kind
        or old.path is distinct from new.path
        or old.queries is distinct from new.queries
        or old.payout_transfer_id is distinct from new.payout_transfer_id
        or old.stripe_transfer_id is distinct from new.stripe_transfer_id
        or old.worker is distinct from new.worker
        or old.begun_at is distinct from new.begun_at
        or old.books_from is distinct from new.books_from
        or old.system_identifier is distinct from new.system_identifier
        or old.timeline_id is distinct from new.timeline_id
        or old.database_oid is distinct from new.database_oid
        or old.table_oid is distinct from new.table_oid
        or old.server_started_at is distinct from new.server_started_at
        or old.adoption_id is distinct from new.adoption_id
        or old.finished_at is not null)
    execute function payout.tg__refuse_change();
alter table payout.stripe_reads enable always trigger _500_refuse_rewrite;
create trigger _500_refuse_delete before delete on payout.stripe_reads
    for each row execute function payout.tg__refuse_change();
alter table payout.stripe_reads enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.stripe_reads
    for each statement execute function payout.tg__refuse_change();
alter table payout.stripe_reads enable always trigger _500_refuse_truncate;


create table payout.stripe_read_pages (
    read_id bigint not null,
    page_number integer not null,
    parameters jsonb not null,
    has_more boolean not null,
    stripe_transfer_ids text[] not null default '{}',
    kept jsonb not null default '[]',
    received_at timestamptz not null,
    constraint stripe_read_pages_pkey primary key (read_id, page_number),
    constraint stripe_read_pages_read_id_parameters_key unique (read_id, parameters),
    constraint stripe_read_pages_read_id_fkey
        foreign key (read_id) references payout.stripe_reads (read_id),
    constraint pages_count_from_one check (page_number >= 1)
);
comment on table payout.stripe_read_pages is
    'A page of a read that was taken. Its objects are in listed_transfers and discrepancies, as '
    'far as they say something new. Insert-only.';
comment on column payout.stripe_read_pages.parameters is
    'The parameters of the request that it answers.';
comment on column payout.stripe_read_pages.stripe_transfer_ids is
    'Of a comparison: the transfers that the page named.';
comment on column payout.stripe_read_pages.kept is
    'The objects that are judged at the end of the read: of a look-up, possible matches '
    '(payout.stripe_transfer, and why); of reversals, all of them; of a comparison, the kind and '
    'the transfer of each discrepancy.';
comment on column payout.stripe_read_pages.received_at is 'The time at which a worker reported it.';

create trigger _500_refuse_change before update or delete on payout.stripe_read_pages
    for each row execute function payout.tg__refuse_change();
alter table payout.stripe_read_pages enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.stripe_read_pages
    for each statement execute function payout.tg__refuse_change();
alter table payout.stripe_read_pages enable always trigger _500_refuse_truncate;


create table payout.listed_transfers (
    stripe_transfer_id text not null,
    payout_ref text not null,
    amount_minor bigint,
    amount_reversed_minor bigint not null,
    currency payout.currency_code,
    destination text,
    is_livemode boolean,
    named_payout_ref text,
    named_engine text,
    source_transaction text,
    created_at timestamptz,
    read_id bigint,
    seen_at timestamptz not null,
    constraint listed_transfers_pkey primary key (stripe_transfer_id)
);
comment on table payout.listed_transfers is
    'Transfers that Stripe had when these books did not say that it had paid by them. A transfer '
    'with such a payout_ref is never sent: it becomes paid, or an alarm.';
comment on column payout.listed_transfers.payout_ref is
    'The transfer that it belongs to: by its transfer_group, else by its metadata.';
comment on column payout.listed_transfers.named_payout_ref is
    'payout_ref in its metadata, by which a success is judged.';
comment on column payout.listed_transfers.named_engine is
    'payout_engine in its metadata, by which a success is judged.';
comment on column payout.listed_transfers.source_transaction is
    'The charge that funds it, by which a success is judged; null: none, or not to be read.';
comment on column payout.listed_transfers.amount_minor is
    'With the next columns: as Stripe listed it; null: not to be read.';
comment on column payout.listed_transfers.amount_reversed_minor is
    'The part of it that was reversed when it was seen first, in minor units.';
comment on column payout.listed_transfers.created_at is
    'The time at which Stripe made it, by Stripe''s clock; null: not to be read.';
comment on column payout.listed_transfers.read_id is
    'The read that saw it first: a comparison, of all or of the newest, or one of events.';
comment on column payout.listed_transfers.seen_at is
    'The time at which that read saw it, by our clock.';

create index listed_transfers_payout_ref_idx on payout.listed_transfers (payout_ref);

create trigger _500_refuse_change before update or delete on payout.listed_transfers
    for each row execute function payout.tg__refuse_change();
alter table payout.listed_transfers enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.listed_transfers
    for each statement execute function payout.tg__refuse_change();
alter table payout.listed_transfers enable always trigger _500_refuse_truncate;


create table payout.reversed_transfers (
    stripe_transfer_id text not null,
    amount_reversed_minor bigint not null,
    next_lookup_at timestamptz,
    constraint reversed_transfers_pkey primary key (stripe_transfer_id),
    constraint amount_is_positive check (amount_reversed_minor > 0)
);
comment on table payout.reversed_transfers is
    'Transfers of ours that Stripe has reversed in full or in part, with the next look-up of their '
    'reversals until the books have them.';
comment on column payout.reversed_transfers.amount_reversed_minor is
    'The most that was seen reversed, in minor units of the transfer''s currency.';
comment on column payout.reversed_transfers.next_lookup_at is
    'The time to read its reversals; null: they are booked, or an operator must look.';

create index reversed_transfers_next_lookup_at_idx
    on payout.reversed_transfers (next_lookup_at) where next_lookup_at is not null;

create trigger _500_refuse_delete before delete on payout.reversed_transfers
    for each row execute function payout.tg__refuse_change();
alter table payout.reversed_transfers enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.reversed_transfers
    for each statement execute function payout.tg__refuse_change();
alter table payout.reversed_transfers enable always trigger _500_refuse_truncate;
-- frozen: sql/tables/seals.sql 2d3212b2003a
create table payout.seals (
    seal_id bigint not null,
    seal_version integer not null,
    table_name text not null,
    first_id bigint not null,
    last_id bigint not null,
    row_ids int8multirange not null,
    row_digests bytea not null,
    rows_sha256 bytea not null,
    rows_from timestamptz,
    rows_until timestamptz,
    sealed_at timestamptz not null,
    seal_sha256 bytea not null,
    constraint seals_pkey primary key (seal_id),
    constraint seals_table_name_last_id_key unique (table_name, last_id),
    constraint seals_count_from_one check (seal_id >= 1),
    constraint version_is_known check (seal_version = 1),
    constraint range_is_in_order check (first_id <= last_id),
    constraint digests_have_eight_bytes_a_row check (octet_length(row_digests) % 8 = 0),
    constraint hashes_have_32_bytes
        check (octet_length(rows_sha256) = 32 and octet_length(seal_sha256) = 32)
);
comment on table payout.seals is
    'One chain over all sealed tables: each seal closes the next range of ids of one table and '
    'covers the hash of the seal before it. Insert-only.';
comment on column payout.seals.seal_id is 'Number in the chain, without gaps.';
comment on column payout.seals.seal_version is
    'The version of the content that the digests cover: 1 that of payout.sealed_rows_v1.';
comment on column payout.seals.first_id is
    'The first id of the range: right after the former range of this table, gaps included.';
comment on column payout.seals.last_id is
    'The last id of the range; no row up to it could still come.';
comment on column payout.seals.row_ids is 'The ids in the range that had a row.';
comment on column payout.seals.row_digests is
    'The first 8 bytes of the digest of each of these rows, in order: they tell which row changed.';
comment on column payout.seals.rows_sha256 is
    'SHA-256 of the whole digests of these rows, in order: it tells that none changed.';
comment on column payout.seals.rows_from is 'The earliest time of a row in the range.';
comment on column payout.seals.rows_until is
    'The latest time of a row of this table up to the end of the range.';
comment on column payout.seals.sealed_at is 'The time at which the range was closed.';
comment on column payout.seals.seal_sha256 is
    'SHA-256 of the former seal''s hash and the other columns of this one.';

create index seals_rows_until_idx on payout.seals (rows_until, last_id)
    where table_name = 'ledger_entries';
create index seals_time_idx on payout.seals using gist (tstzrange(rows_from, rows_until, '[)'))
    where table_name = 'ledger_entries';

create trigger _500_refuse_change before update or delete on payout.seals
    for each row execute function payout.tg__refuse_change();
alter table payout.seals enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.seals
    for each statement execute function payout.tg__refuse_change();
alter table payout.seals enable always trigger _500_refuse_truncate;


create table payout.seal_marks (
    table_name text not null,
    marked_id bigint,
    marked_xid xid8,
    marked_at timestamptz not null default now(),
    constraint seal_marks_pkey primary key (table_name)
);
comment on table payout.seal_marks is
    'The tables that are sealed, and for each the id up to which it can be sealed once every '
    'transaction that ran when the mark was set has ended. The first row is the sealer''s lock.';
comment on column payout.seal_marks.marked_id is
    'The newest id when the mark was set; null: no row.';
comment on column payout.seal_marks.marked_xid is
    'Transactions from this id on began later; null: there is no mark yet.';
comment on column payout.seal_marks.marked_at is
    'The time at which the mark was set; sealing waits a minute.';

create trigger _500_refuse_delete before delete on payout.seal_marks
    for each row execute function payout.tg__refuse_change();
alter table payout.seal_marks enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.seal_marks
    for each statement execute function payout.tg__refuse_change();
alter table payout.seal_marks enable always trigger _500_refuse_truncate;


create table payout.seal_subtotals (
    account text not null,
    currency payout.currency_code not null,
    seal_id bigint not null,
    debit_minor numeric not null,
    credit_minor numeric not null,
    debits bigint not null,
    credits bigint not null,
    constraint seal_subtotals_pkey primary key (account, currency, seal_id),
    constraint seal_subtotals_seal_id_fkey foreign key (seal_id) references payout.seals (seal_id)
);
comment on table payout.seal_subtotals is
    'For each seal of ledger_entries the accounts that its range moved, with the sums of all that '
    'was booked on them up to its end; payable, without a payee, stands for all of them. '
    'Insert-only.';
comment on column payout.seal_subtotals.debit_minor is
    'Sum of all debits up to the end of the seal, in minor units of currency.';
comment on column payout.seal_subtotals.credit_minor is
    'Sum of all credits up to the end of the seal, in minor units of currency.';
comment on column payout.seal_subtotals.debits is 'Number of those debits.';
comment on column payout.seal_subtotals.credits is 'Number of those credits.';

create index seal_subtotals_seal_id_idx on payout.seal_subtotals (seal_id);

create trigger _500_refuse_change before update or delete on payout.seal_subtotals
    for each row execute function payout.tg__refuse_change();
alter table payout.seal_subtotals enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.seal_subtotals
    for each statement execute function payout.tg__refuse_change();
alter table payout.seal_subtotals enable always trigger _500_refuse_truncate;
-- frozen: procedures/settle/tg_settlement_lines__refuse_frozen.sql fcfaaab5349a
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
    v_settlement_ids text[];
    v_frozen_id text;
begin
    if tg_op = 'INSERT' then
        -- `offset 0`: two look-ups for each line, never a whole table for all.
        perform from changed as c
        where not exists (
            select from payout.settlements as s
            where s.settlement_id = c.settlement_id
                and s.xmin = pg_current_xact_id()::xid
            offset 0
        ) or exists (
            select from payout.payout_jobs as j
            where j.settlement_id = c.settlement_id
            offset 0
        )
        limit 1;
        if not found then
            return null;
        end if;
    end if;

    v_settlement_ids := array(select distinct c.settlement_id::text from changed as c);
    perform payout.lock_settlements_of_lines(v_settlement_ids, tg_op <> 'DELETE');

    -- With immediate constraints the very statement that inserts both has scheduled the
    -- settlement by now, and a copy may load the job first: with these lines, if they add up.
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
        raise exception 'settlement % is complete: its lines cannot be changed', v_frozen_id
            using
                errcode = 'SP102',
                detail = 'Its payouts were scheduled from exactly the lines it had.',
                hint = 'Record a correction as another settlement.',
                schema = tg_table_schema,
                table = tg_table_name;
    end if;
    return null;
end
$$;
comment on function payout.tg_settlement_lines__refuse_frozen() is
    'Trigger: refuses to add, change or remove lines of a settlement that has been scheduled '
    '(SP102), and lines of none (SP310).';
-- frozen: procedures/settle/tg_settlements__refuse_frozen.sql 151f97d093cc
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
    'Trigger: refuses to change or delete a complete settlement, and to rename one (SP102).';
-- frozen: procedures/settle/tg_settlements__schedule_payout_job.sql 6bb0bfe4f0e9
create or replace function payout.tg_settlements__schedule_payout_job()
returns trigger
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_lines payout.settlement_lines[];
begin
    -- The row is as the event shows it, and stays so: a complete settlement is frozen.
    if new.state <> 'complete' then
        return null;
    end if;
    -- Two lines are enough to see whether there is exactly one; none if it has its job.
    v_lines := array(
        select l
        from payout.settlement_lines as l
        where l.settlement_id = new.settlement_id
            and not exists (
                select from payout.payout_jobs as j where j.settlement_id = new.settlement_id
            )
        limit 2);
    perform payout.schedule_payout_job(
        new.settlement_id, new, case when cardinality(v_lines) = 1 then v_lines[1] end);
    return null;
end
$$;
comment on function payout.tg_settlements__schedule_payout_job() is
    'Trigger: at commit, makes the payout job of a complete settlement.';
-- frozen: sql/tables/settlements.sql 5b2744d4dd62
create table payout.payees (
    payee_id payout.external_id not null,
    created_at timestamptz not null default now(),
    constraint payees_pkey primary key (payee_id)
);
comment on table payout.payees is
    'The people and companies that settlements can owe money to. Never changed, never deleted.';

create trigger _500_refuse_change before update or delete on payout.payees
    for each row execute function payout.tg__refuse_change();
alter table payout.payees enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.payees
    for each statement execute function payout.tg__refuse_change();
alter table payout.payees enable always trigger _500_refuse_truncate;


create table payout.payee_accounts (
    payee_account_id bigint not null generated always as identity,
    payee_id payout.external_id not null,
    stripe_account_id text not null,
    recorded_at timestamptz not null default now(),
    recorded_by text not null default session_user,
    constraint payee_accounts_pkey primary key (payee_account_id),
    constraint payee_accounts_payee_id_fkey
        foreign key (payee_id) references payout.payees (payee_id),
    constraint stripe_account_id_looks_like_one check (
        stripe_account_id ~ '^acct_[A-Za-z0-9_]+$' and length(stripe_account_id) <= 255)
);
comment on table payout.payee_accounts is
    'The Stripe accounts of payees, as history: the newest row counts for each key that is claimed '
    'for the first time from then on; a request under a key keeps its account.';

create index payee_accounts_payee_id_idx
    on payout.payee_accounts (payee_id, payee_account_id desc) include (stripe_account_id);

create trigger _500_refuse_change before update or delete on payout.payee_accounts
    for each row execute function payout.tg__refuse_change();
alter table payout.payee_accounts enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.payee_accounts
    for each statement execute function payout.tg__refuse_change();
alter table payout.payee_accounts enable always trigger _500_refuse_truncate;


create table payout.settlements (
    settlement_id payout.external_id not null,
    currency payout.currency_code not null,
    total_minor payout.positive_minor not null,
    state payout.settlement_state not null default 'pending',
    pay_after payout.moment,
    metadata jsonb not null default '{}',
    created_at timestamptz not null default current_timestamp,
    constraint settlements_pkey primary key (settlement_id)
);
comment on table payout.settlements is
    'The amounts that the marketplace owes to payees, settled together. Editable while pending, '
    'frozen once complete; completing one schedules its payouts in the same transaction.';
comment on column payout.settlements.total_minor is
    'Sum of the lines in minor units of the currency; the commit fails if they differ.';
comment on column payout.settlements.pay_after is
    'The time before which nothing is sent; null: sent at once.';
comment on column payout.settlements.metadata is
    'An object of texts that are copied into the metadata of each Stripe transfer, within its '
    'limits; judged when the settlement is completed.';
comment on column payout.settlements.created_at is
    'The time of the insert, unless its writer gives another; the engine reads it nowhere.';

create trigger _500_refuse_frozen
    before update or delete on payout.settlements
    for each row
    execute function payout.tg_settlements__refuse_frozen();
alter table payout.settlements enable always trigger _500_refuse_frozen;
create trigger _500_refuse_truncate before truncate on payout.settlements
    for each statement execute function payout.tg__refuse_change();
alter table payout.settlements enable always trigger _500_refuse_truncate;
create constraint trigger _900_schedule_payout_job
    after insert or update on payout.settlements
    deferrable initially deferred
    for each row
    when (current_user <> 'payout_owner')
    execute function payout.tg_settlements__schedule_payout_job();

grant select, insert, update, delete on payout.settlements to payout_app;


create table payout.settlement_lines (
    settlement_id payout.external_id not null,
    line_id payout.external_id not null,
    payee_id payout.external_id not null,
    amount_minor payout.positive_minor not null,
    source_transaction payout.source_transaction_id,
    constraint settlement_lines_pkey primary key (settlement_id, line_id),
    -- Deferred, so that the guard of lines is asked first: its error says what to do.
    constraint settlement_lines_settlement_id_fkey
        foreign key (settlement_id) references payout.settlements (settlement_id)
        on delete cascade deferrable initially deferred
);
comment on table payout.settlement_lines is
    'The parts of a settlement, which comes before them and, while pending, takes them along when '
    'it is deleted. Lines of one payee and source_transaction become one transfer.';
comment on column payout.settlement_lines.amount_minor is
    'Amount in the smallest unit of the settlement''s currency (cents for usd, yen for jpy).';
comment on column payout.settlement_lines.source_transaction is
    'Stripe charge that funds the line; null: the platform''s available balance.';

create trigger _500_refuse_truncate before truncate on payout.settlement_lines
    for each statement execute function payout.tg__refuse_change();
alter table payout.settlement_lines enable always trigger _500_refuse_truncate;
create trigger _900_refuse_frozen_insert
    after insert on payout.settlement_lines
    referencing new table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
create trigger _901_refuse_frozen_update_from
    after update on payout.settlement_lines
    referencing old table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _901_refuse_frozen_update_from;
create trigger _902_refuse_frozen_update_to
    after update on payout.settlement_lines
    referencing new table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _902_refuse_frozen_update_to;
create trigger _903_refuse_frozen_delete
    after delete on payout.settlement_lines
    referencing old table as changed
    for each statement
    execute function payout.tg_settlement_lines__refuse_frozen();
alter table payout.settlement_lines enable always trigger _903_refuse_frozen_delete;

grant select, insert, update, delete on payout.settlement_lines to payout_app;
-- frozen: sql/tables/wakeups.sql 51e1a9bcd71a
create sequence payout.waiting_wakeup;
comment on sequence payout.waiting_wakeup is
    'The wake-up job that was queued last, if no claim was made since; not called: none.';

create sequence payout.seen_wakeup minvalue 0 start 1;
comment on sequence payout.seen_wakeup is
    'The wake-up job that was seen to wait for a worker; not called: look for it in the queue; 0: '
    'the queue failed, so that only the next sweep touches it.';
-- frozen: sql/tables/workers.sql 9baa30878264
create table payout.workers (
    worker text not null,
    release text not null,
    started_at timestamptz not null default clock_timestamp(),
    last_seen_at timestamptz not null default clock_timestamp(),
    has_ended boolean not null default false,
    measured_at timestamptz,
    constraint workers_pkey primary key (worker)
);
comment on table payout.workers is
    'Each worker process of the last week, with its release and its last heartbeat. Nothing in the '
    'engine depends on it: it is for the doctor and for people.';
comment on column payout.workers.worker is
    'The name that the process gave itself: that of its attempts and reads.';
comment on column payout.workers.started_at is 'The time of its first heartbeat.';
comment on column payout.workers.last_seen_at is 'The time of its last heartbeat.';
comment on column payout.workers.has_ended is
    'Whether its last heartbeat said that it ends; a process that was killed says nothing.';
comment on column payout.workers.measured_at is
    'The time at which it last read the gauges, as one worker at a time does; null: never.';
comment on column payout.workers.release is 'The version of the package that it runs.';

create trigger _500_refuse_truncate before truncate on payout.workers
    for each statement execute function payout.tg__refuse_change();
alter table payout.workers enable always trigger _500_refuse_truncate;
-- frozen: sql/data/currencies.sql 7ac2ef0ba5cf
insert into payout.currencies (currency, minor_digits)
select c.currency, 2
from unnest(string_to_array(
    'aed afn all amd ang aoa ars aud awg azn bam bbd bdt bgn bmd bnd bob brl bsd bwp byn bzd cad '
    'cdf chf cny cop crc cve czk dkk dop dzd egp etb eur fjd fkp gbp gel gip gmd gtq gyd hkd hnl '
    'htg huf idr ils inr jmd kes kgs khr kyd kzt lak lbp lkr lrd lsl mad mdl mkd mmk mnt mop mur '
    'mvr mwk mxn myr mzn nad ngn nio nok npr nzd pab pen pgk php pkr pln qar ron rsd rub sar sbd '
    'scr sek sgd shp sle sos srd std szl thb tjs top try ttd twd tzs uah usd uyu uzs wst xcd xcg '
    'yer zar zmw', ' ')) as c (currency)
on conflict do nothing;

insert into payout.currencies (currency, minor_digits)
select c.currency, 0
from unnest(string_to_array(
    'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf', ' ')) as c (currency)
on conflict do nothing;

insert into payout.currencies (currency, minor_digits, amount_step) values
    ('bhd', 3, 10),
    ('jod', 3, 10),
    ('kwd', 3, 10),
    ('omr', 3, 10),
    ('tnd', 3, 10),
    ('isk', 2, 100),
    ('ugx', 2, 100)
on conflict do nothing;
-- frozen: sql/data/discrepancy_kinds.sql 7d887e6dfa60
insert into payout.discrepancy_kinds (kind, advice) values
    ('missing_at_stripe',
        'Look the id up at Stripe. If it is not there the payee was not paid: find out which '
        'worker reported it, and have the amount settled as settlement missing_<its tr_ '
        'id>, which pays once however often it is recorded.'),
    ('differs_at_stripe',
        'Look both up. The amount at Stripe is the one that was paid: have the difference settled '
        'as settlement differs_<its tr_ id>, or reverse it at Stripe.'),
    ('reversals_contradict_transfer',
        'Look the transfer and its reversals up at Stripe. They do not belong to it as it was '
        'paid, so none of them was booked.'),
    ('reversed_after_settled_outside',
        'A transfer was settled outside by this one, and Stripe took it back. If the payee is to '
        'have the amount: have it settled as settlement reversed_<its tr_ id>, which pays once '
        'however often it is recorded. If it is their loss, resolve this with the reason.'),
    ('transfer_without_payout_ref',
        'It was paid past the engine, by hand or by other software. If it pays a settlement, '
        'hold that settlement before it is sent; then resolve this with the reason. For many of '
        'other software: payout_api.add_not_ours_rule.'),
    ('unknown_transfer_at_stripe',
        'This database does not know it: was it restored? Record its settlement again, '
        'unchanged: the transfer becomes paid and is not sent. If it will never be recorded, '
        'reverse the transfer at Stripe, or resolve this with the reason.'),
    ('settlement_edited',
        'The application edited rows that were settled; the payouts stay as they are. A payee who '
        'is owed more gets the difference by another settlement; one who got too much, by a '
        'reversal at Stripe or less in a later settlement.'),
    ('unreadable_at_stripe',
        'Stripe lists something that the engine cannot read, so it was set aside. Look the id up '
        'at Stripe: if it pays a transfer of yours, that one must not be sent again. Else resolve '
        'this with the reason.')
on conflict (kind) do update set advice = excluded.advice;
-- frozen: sql/data/installation.sql df45baa64259
insert into payout.engine_settings default values
on conflict do nothing;

insert into payout.paces (kind) values ('sends'), ('reads')
on conflict do nothing;

insert into payout.seal_marks (table_name) values
    ('adoptions'), ('catalogues'), ('discrepancies'), ('holds'), ('ledger_entries'),
    ('not_ours_rules'), ('operator_actions'), ('payee_accounts'), ('payout_jobs'),
    ('payout_transfers'),
    ('transfer_observations'), ('transfer_requests')
on conflict do nothing;

-- With a transfer this may be a copy already, and only an operator knows.
insert into payout.adoptions (
    system_identifier, timeline_id, database_oid, table_oid, is_installation, reason)
select i.system_identifier, i.timeline_id, i.database_oid, i.table_oid, true, 'installed'
from payout.database_identity() as i
where not exists (select from payout.adoptions)
    and not exists (select from payout.payout_transfers);
-- frozen: sql/data/ledger_accounts.sql 33483325ceae
insert into payout.ledger_accounts (account, meaning) values
    ('settlement_funds',
        'The amounts that settlements assigned to payees; its debit is all ever owed.'),
    ('payable', 'Owed to a payee and not being sent.'),
    ('in_flight', 'Reserved for transfers that are neither paid nor given up.'),
    ('stripe_balance', 'Moved by Stripe out of the platform''s balance.'),
    ('paid_outside', 'Paid in another way, as an operator has said with a reference.')
on conflict do nothing;
-- frozen: sql/data/situations.sql ef70959631f5
insert into payout.situations (situation, whose_turn, for_seller, for_operator, next_call) values
    ('due', 'engine',
        'Your payout is about to be sent.',
        'Due: a worker sends it. If none does, payout-engine doctor says why.', null),
    ('scheduled_for_later', 'engine',
        'Your payout is scheduled.',
        'Its settlement is to be paid from {until} on. If it is not owed after all, cancel it.',
        null),
    ('waiting_for_account', 'payee',
        'Your payout waits for your payout account. Please complete it.',
        'The payee has no Stripe account yet: register_payee, and it goes out by itself.', null),
    ('looked_for_first', 'engine',
        'Your payout is being checked before it is sent.',
        'It was due for longer than a key lives: it is looked for at Stripe at {until}, and '
        'sent if it is not there.', null),
    ('being_sent', 'stripe',
        'Your payout is being sent.',
        'A worker holds it until the answer comes, or its lease ends.', null),
    ('sent_again_later', 'engine',
        'Your payout is being sent.',
        'Nothing was executed. It is sent again at {until} under the same key.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('asked_again_later', 'engine',
        'Your payout is being sent.',
        'It may have been executed. Stripe is asked again at {until} under the same key.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('looked_up', 'engine',
        'Your payout is being checked.',
        'It is looked up at Stripe at {until}: found, it is paid; proved absent, it gets a new '
        'key.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('awaits_approval', 'operator',
        'Your payout is being checked.',
        'It was proved absent at Stripe. Above the limit two people let it be sent again: look at '
        'Stripe too.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('may_be_executed_later', 'operator',
        'Your payout is being checked.',
        'Stripe may carry it out later by itself: decide in its Dashboard. Once it surely will '
        'not, two people give it up: it is sent again after a look, or, held first, settled '
        'outside or cancelled.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer}, '
        'p_force => true);'),
    ('shown_otherwise', 'operator',
        'Your payout is being checked.',
        'Stripe showed something else than was asked for ({why}): look the payout_ref up there. If '
        'it is right after all, the next look pays it; else two people give it up, and then it is '
        'settled outside, with the tr_ id, or cancelled.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer}, '
        'p_force => true);'),
    ('tried_again_later', 'engine',
        'Your payout could not be sent yet. It is tried again.',
        'It is tried again at {until} under a new key, to the payee''s present account, once a '
        'look at Stripe finds nothing of it.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('declined', 'operator',
        'Your payout could not be sent. It is being checked.',
        'Nothing is tried by itself. When the cause is gone, retry sends it under a new key to the '
        'payee''s present account; settle_outside or cancel closes it, some after a look.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('keys_used_up', 'operator',
        'Your payout could not be sent. Please check your payout account.',
        'All its keys were declined. Pay it in another way, or allow more keys '
        '(change_setting max_generations) and retry.',
        'select * from payout_api.settle_outside({transfer}, ''reference'', ''…'');'),
    ('shown_under_a_closed_key', 'operator',
        'Your payout is being checked.',
        'Stripe has shown a transfer of it after its key was given up: it is not sent again. '
        'Settle it outside with that tr_ id, or reverse that one at Stripe and pay in another way.',
        'select * from payout_api.settle_outside({transfer}, ''tr_…'', ''…'');'),
    ('on_hold', 'operator',
        'Your payout is being checked.',
        'On hold ({why}), whatever else it waits for.',
        'select payout_api.release_hold({hold}, ''…'');'),
    ('waits_for_funds', 'engine',
        'Your payout is about to be sent.',
        'The platform''s Stripe balance in this currency was used up. One transfer is tried at '
        '{until}, and once one is paid all go on. When funds were added, retry does that now.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('waits_for_account', 'engine',
        'Your payout waits for your payout account. Please complete it.',
        'The payee''s account takes no transfers yet. One is tried at {until}, and at once when '
        'another account is registered, or by retry; once it is paid the others follow.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('waits_for_account_without_end', 'operator',
        'Your payout could not be sent. Please check your payout account.',
        'The payee''s account took no transfers for three months, and nothing is tried any more. '
        'register_payee with another account, or retry once it takes them; cancel withdraws it.',
        'select * from payout_api.retry(''…'', p_payout_transfer_id => {transfer});'),
    ('waits_for_account_change', 'engine',
        'Your payout account was changed. Your payout is sent after a waiting time.',
        'The payee''s account was changed: nothing new goes to it before {until}. If the payee '
        'has confirmed the change, release the hold.',
        'select payout_api.release_hold({hold}, ''…'');'),
    ('waits_for_cap', 'engine',
        'Your payout is scheduled.',
        'A cap is reached: it goes on at {until}. set_cap raises the cap.', null),
    ('waits_for_cap_without_end', 'operator',
        'Your payout is being checked.',
        'It is larger than a whole cap. Raise the cap with set_cap, or release the hold, and this '
        'one passes.',
        'select payout_api.release_hold({hold}, ''…'');'),
    ('paid', 'nobody', 'Your payout was sent.', 'Paid.', null),
    ('reversed', 'operator',
        'Your payout was sent, and part of it was taken back.',
        'Stripe took it back, or part of it, which is owed again. If it is the payee''s loss: '
        'write_off, as payout_api.reversed_money has the call; if they are to have it: repay.',
        'select * from payout_api.repay({transfer}, ''…'');'),
    ('cancelled', 'nobody', 'Your payout was withdrawn.', 'Withdrawn: not owed.', null),
    ('settled_outside', 'nobody', 'Your payout was made in another way.',
        'Paid in another way; the act has the reference.', null)
on conflict (situation) do update set
    whose_turn = excluded.whose_turn,
    for_seller = excluded.for_seller,
    for_operator = excluded.for_operator,
    next_call = excluded.next_call;
-- frozen: sql/data/states.sql d34eaae08c71
insert into payout.states (
    state, is_final, status, status_on_hold, entry_kind, credit_account, meaning)
values
    ('scheduled', false, 'scheduled', 'on_hold', null, null,
        'Owed and reserved; Stripe has not been asked under this key.'),
    ('in_flight', false, 'sending', 'sending', null, null,
        'A worker holds the lease and may be talking to Stripe.'),
    ('retry_wait', false, 'sending', 'on_hold', null, null,
        'Surely not executed; sent again when due, same key.'),
    ('unknown', false, 'sending', 'sending', null, null,
        'Perhaps executed; sent again when due, same key only.'),
    ('parked', false, 'sending', 'sending', null, null,
        'The engine must not go on by itself; the reason says why.'),
    ('failed', false, 'failed', 'failed', 'release', null,
        'Stripe declined; the books owe the payee again.'),
    ('paid', true, 'paid', 'paid', 'paid', 'stripe_balance',
        'Stripe holds exactly this transfer.'),
    ('cancelled', true, 'cancelled', 'cancelled', 'cancel', 'settlement_funds',
        'Withdrawn by an operator: not owed after all.'),
    ('settled_outside', true, 'settled_outside', 'settled_outside', 'settle_outside',
        'paid_outside', 'Paid in another way, as an operator has said.')
on conflict do nothing;

insert into payout.state_edges (from_state, to_state, why) values
    ('scheduled', 'in_flight', 'claimed by a worker'),
    ('scheduled', 'cancelled', 'withdrawn by an operator before it was sent under this key'),
    ('scheduled', 'settled_outside', 'paid in another way before it was sent under this key'),
    ('scheduled', 'parked', 'Stripe reported a success under another key'),
    ('scheduled', 'paid', 'found in Stripe''s list before it was sent'),
    ('retry_wait', 'in_flight', 'claimed again, same key'),
    ('retry_wait', 'paid', 'a late success'),
    ('retry_wait', 'parked', 'an answer contradicts the row, the key is too old, or an operator'),
    ('unknown', 'in_flight', 'claimed again, same key'),
    ('unknown', 'paid', 'a late success, or found at Stripe'),
    ('unknown', 'parked', 'an answer contradicts the row, the key is too old, or an operator'),
    ('unknown', 'failed', 'proved absent at Stripe'),
    ('in_flight', 'paid', 'Stripe made the transfer'),
    ('in_flight', 'failed', 'a decline saved under the key, no other attempt open'),
    ('in_flight', 'retry_wait', 'surely not executed'),
    ('in_flight', 'unknown', 'no certain answer, or the lease ran out'),
    ('in_flight', 'parked', 'an operator must look, or the attempts are used up'),
    ('parked', 'paid', 'a late success, or found at Stripe'),
    ('parked', 'failed', 'proved absent at Stripe, or given up by two people'),
    ('failed', 'scheduled', 'a new key, where the evidence allows it'),
    ('failed', 'cancelled', 'withdrawn by an operator'),
    ('failed', 'settled_outside', 'paid in another way')
on conflict do nothing;
-- frozen: sql/data/stripe_error_rules.sql d22b267053f9
insert into payout.stripe_error_rules (
    error_rule_id, signal, http_status_from, http_status_to, error_type, error_code,
    error_param, is_replayed, should_retry, is_rate_limited, reaction, sends_to_believe, is_alarm,
    is_counted_try, awaits, payees_to_pause, wait_at_least, wait_base, wait_cap, reason, advice)
values
    (10, 'not_sent', null, null, null, null, null, null, null, null,
        'retry', 1, false, false, null, null, '0', '1 s', '5 min',
        'stripe_not_reached',
        'Nothing was sent. Check the worker''s way to Stripe if it persists.'),
    (20, 'no_response', null, null, null, null, null, null, null, null,
        'unknown', 1, false, true, null, null, '0', '2 s', '15 min',
        'no_answer',
        'Stripe may have paid. The engine asks again with the same key.'),
    (30, 'unreadable', null, null, null, null, null, null, null, null,
        'unknown', 1, false, true, null, null, '0', '10 s', '15 min',
        'unreadable_answer',
        'Stripe may have paid. The engine asks again with the same key; look for a proxy in '
        'between.'),
    (40, 'lease_expired', null, null, null, null, null, null, null, null,
        'unknown', 1, false, true, null, null, '0', '1 s', '1 s',
        'worker_did_not_report',
        'A worker died or lost its connection. Stripe may have paid; the engine asks again with '
        'the same key.'),
    (50, 'key_expired', null, null, null, null, null, null, null, null,
        'park', 1, false, true, null, null, '0', '1 s', '1 s',
        'key_too_old_to_send',
        'Stripe forgets keys after 24 hours. The engine looks the transfer up in Stripe''s list '
        'and goes on by the result.'),
    (60, 'looked_up', null, null, null, null, null, null, null, null,
        'park', 1, true, true, null, null, '0', '1 s', '15 min',
        'absence_awaits_approval',
        'Two scans of Stripe''s list did not find it.'),
    (61, 'looked_up', null, null, null, null, null, null, null, null,
        'absent', 1, false, true, null, null, '0', '1 s', '15 min',
        'absent_at_stripe',
        'Two scans of Stripe''s list, long after the last send, did not find it. A new key is '
        'opened by itself.'),
    (100, 'response', 400, 499, null, 'api_key_expired', null, null, null, null,
        'pause', 1, true, false, null, null, '0', '1 min', '1 min',
        'stripe_key_refused',
        'Start the worker that is on hold again, with a valid key; the others go on.'),
    (101, 'response', 400, 499, null, 'platform_api_key_expired', null, null, null, null,
        'pause', 1, true, false, null, null, '0', '1 min', '1 min',
        'stripe_key_refused',
        'Start the worker that is on hold again, with a valid key; the others go on.'),
    (102, 'response', 400, 499, null, 'testmode_charges_only', null, null, null, null,
        'pause', 1, true, false, null, null, '0', '1 min', '1 min',
        'stripe_account_not_live',
        'Activate the platform''s Stripe account, then release the hold on the engine.'),
    (103, 'response', 400, 499, null, 'platform_account_required', null, null, null, null,
        'pause', 1, true, false, null, null, '0', '1 min', '1 min',
        'stripe_account_no_platform',
        'Use the key of the Connect platform, then release the hold on the engine.'),
    (110, 'response', null, null, null, 'approval_required', null, null, null, null,
        'park', 1, true, true, null, null, '0', '1 s', '1 s',
        'stripe_may_execute_later',
        'Stripe waits for an approval and then pays by itself. Decide there; never send '
        'another key.'),
    (111, 'response', null, null, null, 'action_blocked', null, null, null, null,
        'park', 1, true, true, null, null, '0', '1 s', '1 s',
        'stripe_may_execute_later',
        'Stripe stopped the action and may carry it out later. Decide in the dashboard.'),
    (112, 'response', null, null, null, 'request_blocked', null, null, null, null,
        'park', 1, true, true, null, null, '0', '1 s', '1 s',
        'stripe_may_execute_later',
        'Stripe stopped the request and may carry it out later. Decide in the dashboard.'),
    (113, 'response', null, null, null, 'anomalous_money_movement_request', null, null, null, null,
        'park', 1, true, true, null, null, '0', '1 s', '1 s',
        'stripe_may_execute_later',
        'Stripe found the movement unusual and may carry it out later. Decide in the '
        'dashboard.'),
    (114, 'response', 403, 403, null, 'insufficient_capabilities_for_transfer', null, null, null,
        null, 'decline', 3, false, false, 'account', null, '0', '1 min', '15 min',
        'payee_cannot_receive',
        'The payee has to complete their Stripe account.'),
    (115, 'response', 403, 403, null, 'transfers_not_allowed', null, null, null, null,
        'decline', 3, false, false, 'account', null, '0', '1 min', '15 min',
        'payee_cannot_receive',
        'Stripe does not allow transfers to this account: contact Stripe.'),
    (116, 'response', 403, 403, null, 'not_allowed_on_standard_account', null, null, null, null,
        'decline', 3, false, false, 'account', null, '0', '1 min', '15 min',
        'payee_cannot_receive',
        'The payee''s account is of a type that takes no transfers: register another one.'),
    (117, 'response', 403, 403, null, 'account_invalid', null, null, null, null,
        'decline', 3, false, false, 'account', null, '0', '1 min', '15 min',
        'payee_account_invalid',
        'The account is closed or not connected to this platform: register the payee''s '
        'present account.'),
    (118, 'response', 403, 403, null, 'account_closed', null, null, null, null,
        'decline', 3, false, false, 'account', null, '0', '1 min', '15 min',
        'payee_account_invalid',
        'The account is closed: register the payee''s present account.'),
    (120, 'response', 401, 401, null, null, null, null, null, null,
        'pause', 1, true, false, null, null, '0', '1 min', '1 min',
        'stripe_key_refused',
        'Start the worker that is on hold again, with a valid key; the others go on.'),
    (121, 'response', 403, 403, null, null, null, null, null, null,
        'decline', 3, true, false, 'account', 3, '0', '1 min', '15 min',
        'stripe_permission_refused',
        'One payee gets it: look at its account. Several get it: let the Stripe key write '
        'transfers, then release the hold.'),
    (129, 'response', 429, 429, null, 'rate_limit', null, null, null, null,
        'retry', 1, false, false, null, null, '0', '1 s', '1 min',
        'rate_limited',
        'Stripe takes fewer requests than were sent. The engine slows down by itself.'),
    (130, 'response', 429, 429, null, null, null, null, null, true,
        'retry', 1, false, false, null, null, '0', '1 s', '1 min',
        'rate_limited',
        'Stripe takes fewer requests than were sent. The engine slows down by itself.'),
    (131, 'response', 429, 429, null, null, null, null, null, null,
        'retry', 1, false, false, null, null, '0', '1 s', '30 s',
        'lock_timeout',
        'Another change of the same account was under way at Stripe. The engine asks again.'),
    (132, 'response', 400, 400, null, 'rate_limit', null, null, null, null,
        'retry', 1, false, false, null, null, '0', '1 s', '1 min',
        'rate_limited',
        'Stripe takes fewer requests than were sent. The engine slows down by itself.'),
    (140, 'response', 409, 409, null, 'idempotency_key_in_use', null, null, null, null,
        'retry', 1, false, true, null, null, '20 s', '2 s', '1 min',
        'key_in_use',
        'Another send under this key is being answered. The engine asks again.'),
    (141, 'response', 409, 409, null, null, null, null, null, null,
        'unknown', 1, false, true, null, null, '20 s', '2 s', '5 min',
        'conflict',
        'Stripe saw a conflicting request. The engine asks again with the same key.'),
    (150, 'response', 400, 499, 'idempotency_error', null, null, null, null, null,
        'park', 1, true, true, null, null, '0', '1 s', '1 s',
        'key_used_with_other_request',
        'This key was sent before with another request. The engine looks for it in Stripe''s '
        'list; find out why.'),
    (160, 'response', 400, 402, null, 'balance_insufficient', null, null, null, null,
        'decline', 3, false, true, 'funds', null, '0', '1 min', '15 min',
        'balance_insufficient',
        'Add funds in this currency to the platform''s Stripe balance.'),
    (161, 'response', 400, 402, null, 'insufficient_capabilities_for_transfer', null, null, null,
        null, 'decline', 1, false, true, 'account', null, '0', '1 s', '1 s',
        'payee_cannot_receive',
        'The payee has to complete their Stripe account.'),
    (162, 'response', 400, 402, null, 'transfers_not_allowed', null, null, null, null,
        'decline', 1, false, true, 'account', null, '0', '1 s', '1 s',
        'payee_cannot_receive',
        'Stripe does not allow transfers to this account: contact Stripe.'),
    (163, 'response', 400, 402, null, 'not_allowed_on_standard_account', null, null, null, null,
        'decline', 1, false, true, 'account', null, '0', '1 s', '1 s',
        'payee_cannot_receive',
        'The payee''s account is of a type that takes no transfers: register another one.'),
    (168, 'response', 400, 404, null, 'resource_missing', 'source_transaction', null, null, null,
        'decline', 1, false, true, null, null, '0', '1 s', '1 s',
        'no_such_charge',
        'Stripe does not know the charge that the settlement names: cancel it, and settle the '
        'same under another id, with the right source_transaction or without one.'),
    (169, 'response', 400, 404, null, 'resource_missing', 'destination', null, null, null,
        'decline', 1, false, true, 'account', null, '0', '1 s', '1 s',
        'no_such_account',
        'Stripe does not know the account: register the payee''s present account.'),
    (170, 'response', 400, 404, null, 'resource_missing', null, null, null, null,
        'decline', 1, false, true, null, null, '0', '1 s', '1 s',
        'no_such_account_or_charge',
        'Stripe does not know the account or the charge: register the payee''s present account.'),
    (171, 'response', 400, 404, null, 'account_invalid', null, null, null, null,
        'decline', 1, false, true, 'account', null, '0', '1 s', '1 s',
        'payee_account_invalid',
        'The account is closed or not connected to this platform: register the payee''s '
        'present account.'),
    (172, 'response', 400, 404, null, 'account_closed', null, null, null, null,
        'decline', 1, false, true, 'account', null, '0', '1 s', '1 s',
        'payee_account_invalid',
        'The account is closed: register the payee''s present account.'),
    (180, 'response', 400, 400, null, 'parameter_missing', null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'request_refused',
        'Stripe found the request malformed: report it as a bug of the engine.'),
    (181, 'response', 400, 400, null, 'parameter_unknown', null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'request_refused',
        'Stripe found the request malformed: report it as a bug of the engine.'),
    (182, 'response', 400, 400, null, 'parameter_invalid_integer', null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'request_refused',
        'Stripe found the amount malformed: report it as a bug of the engine.'),
    (183, 'response', 400, 400, null, 'parameter_invalid_empty', null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'request_refused',
        'Stripe found the request malformed: report it as a bug of the engine.'),
    (184, 'response', 400, 400, null, 'parameter_invalid_string_blank', null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'request_refused',
        'Stripe found the request malformed: report it as a bug of the engine.'),
    (185, 'response', 400, 400, null, 'parameter_invalid_string_empty', null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'request_refused',
        'Stripe found the request malformed: report it as a bug of the engine.'),
    (186, 'response', 400, 400, null, 'parameters_exclusive', null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'request_refused',
        'Stripe found the request malformed: report it as a bug of the engine.'),
    (187, 'response', 400, 400, null, 'amount_too_small', null, null, null, null,
        'decline', 1, false, true, null, null, '0', '1 s', '1 s',
        'amount_refused',
        'The amount is below Stripe''s minimum for this route: cancel it, and settle it together '
        'with later ones.'),
    (188, 'response', 400, 400, null, 'amount_too_large', null, null, null, null,
        'decline', 1, false, true, null, null, '0', '1 s', '1 s',
        'amount_refused',
        'The amount is above Stripe''s maximum: cancel it, and settle it in several parts.'),
    (189, 'response', 400, 400, null, 'livemode_mismatch', null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'mode_mismatch',
        'Account and key are of different modes (test and live): correct the payee''s account.'),
    (200, 'response', 402, 402, null, null, null, null, null, null,
        'decline', 1, true, true, null, null, '0', '1 s', '1 s',
        'payment_refused',
        'Stripe refused with 402, which transfers are not known for: read the answer.'),
    (210, 'response', 500, 500, null, null, null, true, null, null,
        'park', 1, true, true, null, null, '0', '1 s', '1 s',
        'error_saved_by_stripe',
        'Stripe failed under this key and may still have paid. The engine looks for it in '
        'Stripe''s list.'),
    (211, 'response', 500, 500, null, null, null, null, 'false', null,
        'park', 1, true, true, null, null, '0', '1 s', '1 s',
        'error_saved_by_stripe',
        'Stripe failed under this key and may still have paid. The engine looks for it in '
        'Stripe''s list.'),
    (212, 'response', 500, 500, null, null, null, null, null, null,
        'unknown', 1, false, true, null, null, '5 s', '30 s', '5 min',
        'stripe_failed',
        'Stripe may have paid. The engine asks again with the same key.'),
    (213, 'response', 501, 599, null, null, null, null, null, null,
        'unknown', 1, false, true, null, null, '0', '5 s', '15 min',
        'stripe_unavailable',
        'Stripe may have paid. The engine asks again with the same key.'),
    (214, 'response', 424, 424, null, null, null, null, null, null,
        'unknown', 1, false, true, null, null, '0', '5 s', '15 min',
        'stripe_unavailable',
        'Stripe may have paid. The engine asks again with the same key.'),
    (998, 'response', 400, 499, null, null, null, null, null, null,
        'decline', 3, true, true, null, null, '0', '1 min', '15 min',
        'refused_by_stripe',
        'Stripe refused for a reason that the engine does not know: read its sentence.'),
    (999, 'response', null, null, null, null, null, null, null, null,
        'unknown', 1, true, true, null, null, '1 min', '5 min', '1 h',
        'unmapped_answer',
        'No rule fits this answer. The engine asks again with the same key; read the answer.')
on conflict (error_rule_id) do update set
    signal = excluded.signal,
    http_status_from = excluded.http_status_from,
    http_status_to = excluded.http_status_to,
    error_type = excluded.error_type,
    error_code = excluded.error_code,
    error_param = excluded.error_param,
    is_replayed = excluded.is_replayed,
    should_retry = excluded.should_retry,
    is_rate_limited = excluded.is_rate_limited,
    reaction = excluded.reaction,
    sends_to_believe = excluded.sends_to_believe,
    is_alarm = excluded.is_alarm,
    is_counted_try = excluded.is_counted_try,
    awaits = excluded.awaits,
    payees_to_pause = excluded.payees_to_pause,
    wait_at_least = excluded.wait_at_least,
    wait_base = excluded.wait_base,
    wait_cap = excluded.wait_cap,
    reason = excluded.reason,
    advice = excluded.advice;
-- frozen: procedures/common/backoff.sql 15dc72c09415
create or replace function payout.backoff(p_rule payout.stripe_error_rules, p_tries integer)
returns interval
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        p_rule.wait_at_least
            + random() * least(p_rule.wait_cap, p_rule.wait_base * 2 ^ least(p_tries, 30)),
        interval '5 minutes');
end
$$;
comment on function payout.backoff(payout.stripe_error_rules, integer) is
    'The rule''s floor plus a random part of its base, doubled for each earlier try up to its cap.';
-- frozen: procedures/common/can_notify.sql 826533e1bf0c
create or replace function payout.can_notify()
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return pg_notification_queue_usage() < 0.9;
end
$$;
comment on function payout.can_notify() is 'True until the queue of NOTIFY is nearly full.';
-- frozen: procedures/common/clock.sql 338a7402c7f2
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
comment on function payout.clock() is
    'Now, by the database''s clock, which goes on within a transaction.';
-- frozen: procedures/common/clock_differs.sql 5f15fec50fec
create or replace function payout.clock_differs(p_stripe_now timestamptz)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(abs(extract(epoch from payout.clock() - p_stripe_now)) > 300, false);
end
$$;
comment on function payout.clock_differs(timestamptz) is
    'True when the clock is more than five minutes from the time at Stripe; false if that is not '
    'known.';
-- frozen: procedures/common/notify_operators.sql 6bc7b59af9e9
create or replace function payout.notify_operators(
    p_reason text, p_subject text, p_ids jsonb default '{}'
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_alarm jsonb := jsonb_build_object('alarm', p_reason, 'subject', left(p_subject, 500));
begin
    if octet_length(p_ids::text) < 4000 then
        v_alarm := p_ids || v_alarm;
    end if;
    if payout.can_notify() then
        perform pg_notify('payout_alarms', v_alarm::text);
    end if;
    raise warning 'payout alarm: %, %', p_reason, p_subject
        using
            detail = v_alarm::text,
            hint = 'See payout.discrepancies and payout_api.unpaid.';
end
$$;
comment on function payout.notify_operators(text, text, jsonb) is
    'Notifies channel payout_alarms of the alarm as JSON: alarm, subject and p_ids; warns with '
    'reason and subject.';
-- frozen: procedures/common/read_text.sql 22362ede17f5
create or replace function payout.read_text(p_value jsonb)
returns text
language sql
immutable
return case
    when jsonb_typeof(p_value) = 'string' and length(p_value #>> '{}') <= 500
        then p_value #>> '{}'
end;
comment on function payout.read_text(jsonb) is
    'The text; null for a value that is absent, of another type or longer than 500 characters.';
-- frozen: procedures/common/read_whole.sql 5da7f6cad2e4
create or replace function payout.read_whole(p_value jsonb)
returns bigint
language sql
immutable
return case
    when jsonb_typeof(p_value) = 'number'
        and p_value #>> '{}' ~ '^[0-9]{1,19}$'
        and p_value <= '9223372036854775807'
        then (p_value #>> '{}')::bigint
end;
comment on function payout.read_whole(jsonb) is
    'The number; null for one that is absent, negative, broken, more than bigint holds, or no '
    'number.';
-- frozen: procedures/common/refuse_bad_row.sql 47f98f04b9ee
create or replace function payout.refuse_bad_row(p_table text, p_rule text)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception 'new row for relation "%" violates check constraint "%"', p_table, p_rule
        using
            errcode = '23514',
            schema = 'payout',
            table = p_table,
            constraint = p_rule;
end
$$;
comment on function payout.refuse_bad_row(text, text) is
    'Raises 23514 for a row of the table that breaks the rule.';
-- frozen: procedures/common/refuse_old_snapshot.sql eb4e4bb959b3
create or replace function payout.refuse_old_snapshot(p_refused text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception '% in a transaction that is %', p_refused,
            current_setting('transaction_isolation')
            using
                errcode = 'SP401',
                hint = 'begin isolation level read committed';
    end if;
end
$$;
comment on function payout.refuse_old_snapshot(text) is
    'Refuses outside read committed; p_refused begins the sentence: no hold is released.';
-- frozen: procedures/transfers/begin_wait.sql 756b2d4b613d
create or replace function payout.begin_wait(
    p_scope text,
    p_subject text,
    p_reason text,
    p_awaits text,
    p_goes_on_at timestamptz,
    p_notifies boolean
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold_id bigint;
begin
    insert into payout.holds (scope, subject, reason, awaits, goes_on_at)
    values (p_scope, p_subject, p_reason, p_awaits, p_goes_on_at)
    on conflict do nothing
    returning hold_id into v_hold_id;

    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('hold', concat_ws(' ', p_scope, p_subject), p_reason,
            jsonb_build_object('hold_id', v_hold_id, 'awaits', p_awaits));
        if p_notifies then
            perform payout.notify_operators(p_reason, concat_ws(' ', p_scope, p_subject),
                jsonb_build_object('hold_id', v_hold_id));
        end if;
        return v_hold_id;
    end if;

    return (
        select h.hold_id
        from payout.holds as h
        where h.scope = p_scope
            and h.subject = p_subject
            and h.awaits = p_awaits
            and h.released_at is null
        for share skip locked);
end
$$;
comment on function payout.begin_wait(text, text, text, text, timestamptz, boolean) is
    'Places a wait unless there is one, notes it in operator_actions, returns its hold_id; null: '
    'it ends this moment, or may.';
-- frozen: procedures/transfers/booked_states.sql 0425e852ac2f
create or replace function payout.booked_states(p_from bigint, p_to bigint)
returns table (payout_transfer_id bigint, place text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select b.payout_transfer_id,
        string_agg(format('%s %s %s', b.account, b.amount_minor, b.currency), ', '
            order by b.account, b.currency)
    from (
        select e.payout_transfer_id, m.account, e.currency, sum(m.amount_minor) as amount_minor
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, -e.amount_minor), (e.credit_account, e.amount_minor)
        ) as m (account, amount_minor)
        where e.payout_transfer_id between p_from and p_to
            and e.kind not in ('reversal', 'write_off') and m.account <> 'settlement_funds'
        group by e.payout_transfer_id, m.account, e.currency
        having sum(m.amount_minor) <> 0
    ) as b
    group by b.payout_transfer_id
$$;
comment on function payout.booked_states(bigint, bigint) is
    'For each transfer from p_from to p_to the account, amount in minor units and currency that '
    'its ledger entries leave it at, reversals aside.';
-- frozen: procedures/transfers/change_of_account.sql b709c67f16f3
create or replace function payout.change_of_account(p_payee_id text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_waits_for interval := (
        select e.account_change_waits_for from payout.engine_settings as e);
begin
    update payout.holds as h
    set goes_on_at = payout.clock(),
        probes = 0
    where h.scope = 'payee'
        and h.subject = p_payee_id
        and h.awaits = 'account'
        and h.released_at is null;

    if v_waits_for > '0' then
        -- The wait of the change before may end between the two.
        loop
            perform payout.begin_wait(
                'payee', p_payee_id, 'account_was_changed', 'account_change', null, false);
            update payout.holds as h
            set goes_on_at = payout.clock() + v_waits_for
            where h.scope = 'payee'
                and h.subject = p_payee_id
                and h.awaits = 'account_change'
                and h.released_at is null;
            exit when found;
        end loop;
    end if;
end
$$;
comment on function payout.change_of_account(text) is
    'Has a payee that waits for its account tried at once, and lets new transfers wait for '
    'engine_settings.account_change_waits_for.';
-- frozen: procedures/transfers/destinations.sql 5f36876c6803
create or replace function payout.destinations(
    p_transfer payout.payout_transfers, p_generation integer default null
)
returns text[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return coalesce(
        (select array[r.destination]
            from payout.transfer_requests as r
            where r.payout_transfer_id = p_transfer.payout_transfer_id
                and r.generation = p_generation),
        (select array_agg(d.destination order by d.destination)
            from (
                select r.destination
                from payout.transfer_requests as r
                where r.payout_transfer_id = p_transfer.payout_transfer_id
                union
                select a.stripe_account_id
                from payout.payee_accounts as a
                where a.payee_id = p_transfer.payee_id
            ) as d));
end
$$;
comment on function payout.destinations(payout.payout_transfers, integer) is
    'The account in the request under the key; without a key, or its request, the accounts in all '
    'requests of a transfer and those of its payee; null: there is none.';
-- frozen: procedures/transfers/end_holds.sql 67cc6374c956
create or replace function payout.end_holds(
    p_hold_ids bigint[], p_released_by text, p_reason text
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_hold_ids = '{}' then
        return;
    end if;
    -- Only a snapshot taken after the lock shows every transfer that was marked under the hold.
    perform payout.refuse_old_snapshot('no hold is released');

    update payout.holds as h
    set released_at = payout.clock(),
        released_by = p_released_by,
        release_reason = p_reason
    where h.hold_id = any (p_hold_ids);

    update payout.transfer_states as s
    set hold_id = null,
        next_lookup_at = case
            when s.state = 'failed' and s.next_attempt_at is not null then payout.clock()
            else s.next_lookup_at
        end
    where s.hold_id = any (p_hold_ids)
        and payout.progress_problem(s) is null;

    insert into payout.operator_actions (action, subject, reason, details)
    select 'release', concat_ws(' ', h.scope, h.subject), p_reason,
        jsonb_build_object('hold_id', h.hold_id)
    from payout.holds as h
    where h.hold_id = any (p_hold_ids);
end
$$;
comment on function payout.end_holds(bigint[], text, text) is
    'Releases these holds with a reason, clears transfer_states.hold_id, notes it in '
    'operator_actions.';
-- frozen: procedures/transfers/first_entry_id.sql f2d7c3884070
create or replace function payout.first_entry_id(p_since timestamptz)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (
            select min(s.first_id)
            from payout.seals as s
            where s.table_name = 'ledger_entries' and s.rows_until >= p_since
        ),
        (select max(s.last_id) + 1 from payout.seals as s where s.table_name = 'ledger_entries'),
        -9223372036854775808)
$$;
comment on function payout.first_entry_id(timestamptz) is
    'An id below which no entry was booked at p_since or later.';
-- frozen: procedures/transfers/fold_facts.sql b8112b663b5d
create or replace function payout.fold_facts(
    p_from bigint default -9223372036854775808, p_to bigint default 9223372036854775807
)
returns table (
    payout_transfer_id bigint, state text, generation integer, attempt integer,
    lease_until timestamptz, next_attempt_at timestamptz, stripe_transfer_id text,
    window_begins_at timestamptz, tries integer, has_unknown_send boolean, reason text
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with observed as (
        select o.*,
            coalesce(max(o.observation_id) filter (where o.signal = 'key_opened') over w, 0)
                as opened_by,
            max(o.observation_id) filter (where o.moved_to is not null) over w as moved_by
        from payout.transfer_observations as o
        where o.payout_transfer_id between p_from and p_to
        window w as (partition by o.payout_transfer_id)
    ), seen as (
        select o.payout_transfer_id,
            max(o.generation) filter (where o.observation_id = o.opened_by) as generation,
            count(*) filter (where o.is_counted_try and o.observation_id > o.opened_by) as tries,
            bool_or(o.has_unknown_send and o.observation_id > o.opened_by) as has_unknown_send,
            bool_or(o.verdict = 'alarm' and o.observation_id > o.moved_by) as is_stopped
        from observed as o
        group by o.payout_transfer_id
    ), claims as (
        select distinct on (a.payout_transfer_id) a.*, first_value(a.window_begins_at) over (
            partition by a.payout_transfer_id, a.generation order by a.attempt) as key_begins_at
        from payout.transfer_attempts as a
        where a.payout_transfer_id between p_from and p_to
        order by a.payout_transfer_id, a.attempt desc
    )
    select t.payout_transfer_id, w.state, w.generation, coalesce(a.attempt, 0),
        case w.state when 'in_flight' then a.lease_until end,
        case
            when w.state in ('scheduled', 'retry_wait', 'unknown') then w.due_at
            -- An alarm about a declined transfer stops its next key.
            when w.state = 'failed' and o.is_stopped is not true then m.next_attempt_at
        end,
        case w.state when 'paid' then m.stripe_transfer_id end,
        case a.generation when w.generation then a.key_begins_at end,
        coalesce(o.tries, 0)::integer, coalesce(o.has_unknown_send, false),
        case
            when m.moved_to <> 'scheduled' then m.reason
            when w.state = 'scheduled' and w.due_at is null then 'awaiting_account'
        end
    from payout.payout_transfers as t
    left join seen as o on o.payout_transfer_id = t.payout_transfer_id
    left join observed as m
        on m.payout_transfer_id = t.payout_transfer_id and m.observation_id = m.moved_by
    left join claims as a on a.payout_transfer_id = t.payout_transfer_id
    cross join lateral (
        select case
                when m.moved_to in ('paid', 'parked', 'failed', 'cancelled', 'settled_outside')
                    then m.moved_to::text
                when a.attempt > coalesce(m.attempt, 0) then 'in_flight'
                else coalesce(m.moved_to::text, 'scheduled')
            end as state,
            coalesce(o.generation, 1) as generation,
            coalesce(m.next_attempt_at, case when (
                select true from payout.payee_accounts as p where p.payee_id = t.payee_id limit 1
            ) then coalesce((
                select s.pay_after from payout.settlements as s
                where s.settlement_id = t.settlement_id
            ), t.created_at) end) as due_at
    ) as w
    where t.payout_transfer_id between p_from and p_to
$$;
comment on function payout.fold_facts(bigint, bigint) is
    'One row for each transfer from p_from to p_to as transfer_states must say it, folded from '
    'attempts and observations.';
-- frozen: procedures/transfers/free_turns.sql e3bdf1a6b5ad
create or replace function payout.free_turns(p_now timestamptz)
returns integer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_per_second double precision := (
        select least(p.per_second, e.sends_per_second)::double precision
        from payout.engine_settings as e
        join payout.paces as p on p.kind = 'sends');
    v_ahead double precision;
begin
    if v_per_second is null then
        return null;
    end if;
    -- One that is a minute ahead was set by a clock that has since been set back.
    v_ahead := (
        select case when a.ahead between 0 and 60 then a.ahead else 0 end
        from (
            select (pg_sequence_last_value('payout.send_turns'::regclass) / 1e6
                - extract(epoch from p_now))::double precision
        ) as a (ahead));
    return case when v_ahead > 5 then 0
        else 1 + floor(greatest(0.25 - v_ahead, 0) * v_per_second)::integer end;
end
$$;
comment on function payout.free_turns(timestamptz) is
    'How many turns to send are free; null: any number.';
-- frozen: procedures/transfers/held.sql adb05d98a616
create or replace function payout.held(p_scope text, p_awaits text default null)
returns setof text
language sql
stable
rows 100
set search_path = pg_catalog, pg_temp
as $$
    select h.subject
    from payout.holds as h
    where h.scope = p_scope
        and h.released_at is null
        and h.awaits is not distinct from p_awaits
$$;
comment on function payout.held(text, text) is
    'Names of workers and currencies, ids of payees, settlements and transfers; without '
    'p_awaits those on hold by a person or an alarm.';
-- frozen: procedures/transfers/let_through_ids.sql 06c8291d732f
create or replace function payout.let_through_ids()
returns setof bigint
language sql
stable
rows 20
set search_path = pg_catalog, pg_temp
as $$
    select h.probe_transfer_id
    from payout.holds as h
    where h.probe_transfer_id is not null and h.released_at is null
$$;
comment on function payout.let_through_ids() is
    'Numbers of transfers that are tried to see whether a wait is over.';
-- frozen: procedures/transfers/lower_pace.sql 2424dcf489e2
create or replace function payout.lower_pace(p_kind text, p_claimed_at timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_most numeric;
    v_answered bigint;
begin
    select least(p.per_second, case p_kind
            when 'sends' then e.sends_per_second else e.reads_per_second end),
        case p_kind when 'sends' then (
            select greatest(count(*), 10)
            from payout.transfer_observations as o
            where o.observation_id > (
                    select max(n.observation_id) - 2000 from payout.transfer_observations as n)
                and o.signal = 'response'
                and o.http_status <> 429
                and o.observed_at > v_now - interval '1 second')
        end
    into v_most, v_answered
    from payout.paces as p
    cross join payout.engine_settings as e
    where p.kind = p_kind and (p.refused_at between p_claimed_at and v_now) is not true
    for update of p;
    if not found then
        return;
    end if;

    update payout.paces as p
    set per_second = greatest(coalesce(least(v_most, v_answered), 25) / 2, 0.5),
        refused_per_second = case when 0.8 * v_most <= coalesce(v_answered, v_most) then v_most end,
        refused_at = v_now,
        grown_at = v_now
    where p.kind = p_kind;
    perform setval(q.turns, greatest(
        pg_sequence_last_value(q.turns), (1e6 * (extract(epoch from v_now) + 1))::bigint))
    from (
        select case p_kind when 'sends' then 'payout.send_turns'::regclass
            else 'payout.read_turns'::regclass end
    ) as q (turns);
end
$$;
comment on function payout.lower_pace(text, timestamptz) is
    'Halves the pace of a kind of request for a refusal of one that was handed out then.';
-- frozen: procedures/transfers/next_round.sql 714041d66b7c
create or replace function payout.next_round(p_awaits text, p_probes integer)
returns interval
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return (0.75 + random() / 2) * case p_awaits
        when 'funds' then least(interval '2 minutes' * 2 ^ least(p_probes, 30), interval '1 hour')
        when 'account' then case when p_probes < 19
            then least(interval '2 hours' * 2 ^ p_probes, interval '7 days') end
    end;
end
$$;
comment on function payout.next_round(text, integer) is
    'The wait after so many transfers were let through; null: no more is.';
-- frozen: procedures/transfers/notify_application.sql 06ef0e861d3e
create or replace function payout.notify_application()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_sequence_last_value('payout.awaited_outcomes'::regclass) is not null
        and payout.can_notify() then
        perform
            setval('payout.awaited_outcomes', 1, false),
            pg_notify('payout_outcomes', '');
    end if;
end
$$;
comment on function payout.notify_application() is
    'Notifies channel payout_outcomes; payout.awaited_outcomes says so until the next read.';
-- frozen: procedures/transfers/payout_ref.sql bcc66ef58be2
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
-- frozen: procedures/transfers/place_hold.sql fd3177b26c22
create or replace function payout.place_hold(
    p_scope text,
    p_subject text,
    p_reason text,
    p_discrepancy_id bigint default null,
    p_until timestamptz default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold_id bigint;
begin
    loop
        perform payout.end_holds(array(
            select h.hold_id
            from payout.holds as h
            where h.scope = p_scope
                and h.subject is not distinct from p_subject
                and p_discrepancy_id is null
                and h.discrepancy_id is null
                and h.awaits is null
                and h.expires_at < coalesce(p_until, 'infinity')
                and h.released_at is null
            for update), session_user, 'a longer hold takes its place');

        insert into payout.holds (scope, subject, reason, discrepancy_id, expires_at)
        values (p_scope, p_subject, p_reason, p_discrepancy_id, p_until)
        on conflict do nothing
        returning hold_id into v_hold_id;

        if found then
            insert into payout.operator_actions (action, subject, reason, details)
            values ('hold', concat_ws(' ', p_scope, p_subject), p_reason,
                jsonb_strip_nulls(jsonb_build_object('hold_id', v_hold_id, 'until', p_until)));
            exit;
        end if;

        select h.hold_id into v_hold_id
        from payout.holds as h
        where h.scope = p_scope
            and h.subject is not distinct from p_subject
            and (h.discrepancy_id is null) = (p_discrepancy_id is null)
            and h.awaits is null
            and h.released_at is null
        for share;
        exit when found;
    end loop;
    return v_hold_id;
end
$$;
comment on function payout.place_hold(text, text, text, bigint, timestamptz) is
    'Places a hold unless there is one, for an alarm or another reason, notes it in '
    'operator_actions, returns its hold_id.';
-- frozen: procedures/transfers/progress_problem.sql f426a7914b7c
create or replace function payout.progress_problem(p_state payout.transfer_states)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return case
        when p_state.generation < 1 then 'generation_counts_from_one'
        when p_state.attempt < 0 then 'attempt_counts_from_zero'
        when p_state.tries < 0 then 'tries_count_from_zero'
        when (p_state.state = 'in_flight') <> (p_state.lease_until is not null)
            then 'only_in_flight_has_a_lease'
        when p_state.state = 'in_flight' and p_state.window_begins_at is null
            then 'in_flight_has_been_sent'
        when (p_state.state = 'paid') <> (p_state.stripe_transfer_id is not null)
            then 'paid_names_its_transfer'
        when p_state.state in ('retry_wait', 'unknown')
            and p_state.next_attempt_at is null then 'waiting_names_its_next_attempt'
        -- Before the payee has an account there is no date, and only then.
        when p_state.state = 'scheduled' and (p_state.next_attempt_at is null)
            <> (p_state.reason is not distinct from 'awaiting_account')
            then 'scheduled_has_a_date_or_awaits_an_account'
        when p_state.state in ('in_flight', 'parked', 'paid', 'cancelled', 'settled_outside')
            and p_state.next_attempt_at is not null then 'resting_has_no_next_attempt'
        when p_state.hold_id is not null
            and p_state.state not in ('scheduled', 'retry_wait', 'unknown', 'failed')
            then 'only_waiting_is_on_hold'
        when p_state.state in ('parked', 'failed') and p_state.reason is null
            then 'parked_and_failed_say_why'
        when p_state.state not in ('scheduled', 'parked', 'failed')
            and p_state.next_lookup_at is not null then 'only_resting_is_looked_up'
    end;
end
$$;
comment on function payout.progress_problem(payout.transfer_states) is
    'The first rule about counters, lease, next steps, Stripe''s id and reason that a row breaks, '
    'or null.';
-- frozen: procedures/transfers/raise_alarm.sql 143a18f7dea1
create or replace function payout.raise_alarm(
    p_outcome payout.outcome, p_judgement payout.judgement
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_discrepancy_id bigint;
begin
    perform payout.notify_operators(
        p_judgement.reason, 'transfer ' || p_outcome.payout_transfer_id, (
            select jsonb_build_object(
                'payout_transfer_id', t.payout_transfer_id, 'settlement_id', t.settlement_id)
            from payout.payout_transfers as t
            where t.payout_transfer_id = p_outcome.payout_transfer_id));

    if p_judgement.pauses_engine then
        perform payout.stop_refused_worker(p_outcome, p_judgement.reason);
    end if;

    if p_judgement.verdict <> 'alarm' and p_judgement.to_state is distinct from 'parked' then
        return p_judgement.reason;
    end if;

    insert into payout.discrepancies (
        kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice)
    select
        p_judgement.reason, t.payout_transfer_id, p_outcome.stripe_transfer_id,
        payout.transfer_facts(t, null), jsonb_strip_nulls(to_jsonb(p_outcome) - 'claim_token'),
        coalesce(
            (select r.advice from payout.stripe_error_rules as r
                where r.error_rule_id = p_judgement.error_rule_id),
            'Look the payout_ref up at Stripe and compare; this transfer is not sent until its '
            'hold is released.')
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_outcome.payout_transfer_id
    returning discrepancy_id into strict v_discrepancy_id;

    if p_judgement.verdict = 'alarm' and not (
        p_judgement.reason = 'report_of_another_claim' and exists (
            select from payout.transfer_states as s
            where s.payout_transfer_id = p_outcome.payout_transfer_id and s.state = 'paid'
        )
    ) then
        perform payout.stop_transfer(
            p_outcome.payout_transfer_id, p_judgement.reason, v_discrepancy_id);
    end if;
    return p_judgement.reason;
end
$$;
comment on function payout.raise_alarm(payout.outcome, payout.judgement) is
    'Notifies operators, records a discrepancy, holds the transfer, a worker or the engine; '
    'returns the reason.';
-- frozen: procedures/transfers/raise_pace.sql ae58657b0ebb
create or replace function payout.raise_pace(p_kind text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    with old as (
        select p.per_second, p.refused_per_second, p.refused_at,
            round(0.95 * p.refused_per_second, 6) as below_refused,
            greatest(least(extract(epoch from p_now - p.grown_at), 1), 0) as seconds
        from payout.paces as p
        where p.kind = p_kind
            and p.per_second is not null
            and p.grown_at not between p_now - interval '0.2 seconds' and p_now
        for update skip locked
    ), grown as (
        select o.refused_per_second, round(case
            when o.per_second < o.below_refused
                then least(o.per_second * 2 ^ (o.seconds / 5), o.below_refused)
            when o.refused_per_second is not null
                and o.refused_at between p_now - interval '1 minute' and p_now then o.per_second
            else o.per_second * 2 ^ (o.seconds / 10)
        end, 6) as per_second
        from old as o
    )
    update payout.paces as p
    set per_second = case when g.per_second <= 5000 then g.per_second end,
        refused_per_second = case
            when g.per_second <= 1.1 * g.refused_per_second then g.refused_per_second end,
        grown_at = p_now
    from grown as g
    where p.kind = p_kind;
end
$$;
comment on function payout.raise_pace(text, timestamptz) is
    'Raises a lowered pace by the time since it was raised last, a second at most.';
-- frozen: procedures/transfers/read_stripe_transfer.sql 6f71b8f758e9
create or replace function payout.read_stripe_transfer(p_object jsonb)
returns payout.stripe_transfer
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_installation_id text := (select e.installation_id from payout.engine_settings as e);
    v_transfer payout.stripe_transfer;
    v_metadata jsonb := p_object -> 'metadata';
    v_created bigint := payout.read_whole(p_object -> 'created');
begin
    v_transfer.object := case jsonb_typeof(p_object -> 'object')
        when 'string' then p_object ->> 'object' end;
    v_transfer.stripe_transfer_id := case
        when jsonb_typeof(p_object -> 'id') = 'string' and length(p_object ->> 'id') <= 255
            then substring(p_object ->> 'id' from '^tr_[A-Za-z0-9_]+$') end;
    v_transfer.amount_minor := payout.read_whole(p_object -> 'amount');
    v_transfer.amount_reversed_minor := payout.read_whole(p_object -> 'amount_reversed');
    v_transfer.currency := case jsonb_typeof(p_object -> 'currency')
        when 'string' then substring(p_object ->> 'currency' from '^[a-z]{3}$') end;
    v_transfer.destination := case jsonb_typeof(p_object -> 'destination')
        when 'string' then p_object ->> 'destination' end;
    v_transfer.is_livemode := case jsonb_typeof(p_object -> 'livemode')
        when 'boolean' then (p_object -> 'livemode')::boolean end;
    v_transfer.source_transaction := case jsonb_typeof(p_object -> 'source_transaction')
        when 'string' then p_object ->> 'source_transaction' end;
    v_transfer.transfer_group := case jsonb_typeof(p_object -> 'transfer_group')
        when 'string' then p_object ->> 'transfer_group' end;
    -- A value of metadata has 500 characters at most, and an index takes no much longer one.
    v_transfer.payout_ref := payout.read_text(v_metadata -> 'payout_ref');
    v_transfer.settlement_id := case jsonb_typeof(v_metadata -> 'settlement_id')
        when 'string' then v_metadata ->> 'settlement_id' end;
    v_transfer.payee_id := case jsonb_typeof(v_metadata -> 'payee_id')
        when 'string' then v_metadata ->> 'payee_id' end;
    v_transfer.payout_engine := case jsonb_typeof(v_metadata -> 'payout_engine')
        when 'string' then v_metadata ->> 'payout_engine' end;
    -- Metadata can be edited, the group cannot; but of what a charge pays Stripe sets the group.
    v_transfer.belongs_to := case
        when length(v_transfer.transfer_group) = 47
            and v_transfer.transfer_group ~ '^payout_[0-9a-f]+$' then v_transfer.transfer_group
        when not coalesce(v_transfer.payout_ref ~ '^payout_[0-9a-f]+$', false)
            and num_nulls(v_transfer.settlement_id, v_transfer.payee_id) = 0
            then payout.payout_ref(coalesce(v_transfer.payout_engine, v_installation_id),
                v_transfer.settlement_id, v_transfer.payee_id, v_transfer.source_transaction)
        else v_transfer.payout_ref
    end;
    -- Up to the end of the year 9999.
    v_transfer.created_at := case
        when v_created < 253402300800 then to_timestamp(v_created) end;
    v_transfer.is_readable := coalesce(v_transfer.object = 'transfer'
        and num_nulls(v_transfer.stripe_transfer_id, v_transfer.amount_minor, v_transfer.currency,
            v_transfer.destination) = 0
        and coalesce(jsonb_typeof(v_metadata), 'null') in ('object', 'null')
        -- These may be absent, or null; anything else that is null here could not be read.
        and num_nulls(
            nullif(p_object -> 'source_transaction', 'null'),
            nullif(p_object -> 'transfer_group', 'null'),
            nullif(v_metadata -> 'payout_ref', 'null'),
            nullif(v_metadata -> 'settlement_id', 'null'),
            nullif(v_metadata -> 'payee_id', 'null')
        ) = num_nulls(v_transfer.source_transaction, v_transfer.transfer_group,
            v_transfer.payout_ref, v_transfer.settlement_id, v_transfer.payee_id),
        false);
    return v_transfer;
end
$$;
comment on function payout.read_stripe_transfer(jsonb) is
    'Reads one object; null where a field is absent or cannot be read.';
-- frozen: procedures/transfers/set_aside.sql d491bf8b2809
create or replace function payout.set_aside(p_payout_transfer_id bigint, p_error text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_discrepancy_id bigint := (
        select min(d.discrepancy_id)
        from payout.discrepancies as d
        where d.payout_transfer_id = p_payout_transfer_id
            and d.kind = 'row_contradicts_facts'
            and d.resolved_at is null);
begin
    if v_discrepancy_id is null then
        insert into payout.discrepancies (kind, payout_transfer_id, ours, theirs, advice)
        select 'row_contradicts_facts', s.payout_transfer_id, to_jsonb(s),
            jsonb_build_object('error', p_error),
            'Its row and its facts contradict each other: compare them with '
            'payout_api.verify_projection(), and correct the row (docs/restore.md). It is not sent.'
        from payout.transfer_states as s
        where s.payout_transfer_id = p_payout_transfer_id
        returning discrepancy_id into strict v_discrepancy_id;
        perform payout.notify_operators(
            'row_contradicts_facts', 'transfer ' || p_payout_transfer_id, jsonb_build_object(
                'payout_transfer_id', p_payout_transfer_id, 'discrepancy_id', v_discrepancy_id));
    end if;
    -- Its hold may have been released too early.
    perform payout.stop_transfer(
        p_payout_transfer_id, 'row_contradicts_facts', v_discrepancy_id);
    -- The observation is that of a lease that ran out: nobody knows what became of the last send.
    begin
        with stopped as (
            update payout.transfer_states as s
            set state = case s.state when 'failed' then 'failed' else 'parked' end,
                lease_until = null,
                next_attempt_at = null,
                has_unknown_send = s.has_unknown_send or s.state = 'in_flight',
                reason = 'row_contradicts_facts',
                changed_at = payout.clock()
            where s.payout_transfer_id = p_payout_transfer_id
                and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'failed')
            returning s.*
        )
        insert into payout.transfer_observations (payout_transfer_id, generation, attempt, signal,
            verdict, moved_to, reason, has_unknown_send)
        select s.payout_transfer_id, s.generation, s.attempt, 'lease_expired',
            case s.state when 'failed' then 'alarm' else 'ok' end, nullif(s.state::text, 'failed'),
            s.reason, s.has_unknown_send
        from stopped as s;
    exception
        when integrity_constraint_violation or data_exception
            or sqlstate 'SP103' or sqlstate 'SP201' then
            raise log 'payout: transfer % cannot be parked: %', p_payout_transfer_id, sqlerrm;
    end;
end
$$;
comment on function payout.set_aside(bigint, text) is
    'Holds and parks a transfer, once, with a discrepancy row_contradicts_facts that names the '
    'error.';
-- frozen: procedures/transfers/stop_refused_worker.sql 1767ec45064a
create or replace function payout.stop_refused_worker(p_outcome payout.outcome, p_reason text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_worker text := (
        select a.worker
        from payout.transfer_attempts as a
        where a.payout_transfer_id = p_outcome.payout_transfer_id
            and a.attempt = p_outcome.attempt);
begin
    if p_reason = 'stripe_key_refused' or exists (
        select
        from payout.transfer_observations as o
        join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
            and a.attempt = o.attempt
        where o.observation_id > (
                select max(n.observation_id) - 1000 from payout.transfer_observations as n)
            and o.signal = 'response'
            and o.moved_to = 'paid'
            and o.observed_at > payout.clock() - (
                select e.alarm_window_for from payout.engine_settings as e)
            and a.worker <> v_worker
            and not exists (
                select from payout.holds as h
                where h.scope = 'worker' and h.subject = a.worker and h.released_at is null
            )
    ) then
        perform payout.place_hold('worker', v_worker, p_reason);
    else
        perform payout.place_hold('engine', null, p_reason);
    end if;
end
$$;
comment on function payout.stop_refused_worker(payout.outcome, text) is
    'Places a hold on the worker of the attempt, if its key is refused or another worker succeeded '
    'within engine_settings.alarm_window_for, else on the engine.';
-- frozen: procedures/transfers/stop_transfer.sql 1e24dd410794
create or replace function payout.stop_transfer(
    p_payout_transfer_id bigint, p_reason text, p_discrepancy_id bigint
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
    v_alarms integer;
begin
    perform payout.place_hold(
        'transfer', p_payout_transfer_id::text, p_reason, p_discrepancy_id);

    select * into strict v_settings from payout.engine_settings;
    v_alarms := (
        select count(*)::integer
        from payout.holds as h
        where h.discrepancy_id is not null
            and h.scope = 'transfer'
            and h.placed_at > greatest(payout.clock() - v_settings.alarm_window_for, (
                select max(e.released_at)
                from payout.holds as e
                where e.discrepancy_id is not null and e.scope = 'engine')));
    if v_alarms >= v_settings.max_alarms then
        perform payout.place_hold('engine', null, format(
            '%s alarms within %s: find their common cause in payout_api.discrepancies first',
            v_settings.max_alarms, v_settings.alarm_window_for), p_discrepancy_id);
    end if;
end
$$;
comment on function payout.stop_transfer(bigint, text, bigint) is
    'Places the hold of an alarm on a transfer; engine_settings says how many alarms hold the '
    'engine.';
-- frozen: procedures/transfers/take_turns.sql 558abcf13aae
create or replace function payout.take_turns(
    p_kind text,
    p_count integer,
    p_now timestamptz,
    out first_seconds double precision,
    out apart_seconds double precision
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_has_lock boolean := false;
    v_turns regclass := case p_kind when 'sends' then 'payout.send_turns'::regclass
        else 'payout.read_turns'::regclass end;
    v_now bigint := (extract(epoch from p_now) * 1e6)::bigint;
    v_taken bigint;
begin
    first_seconds := 0;
    apart_seconds := (
        select 1 / least(p.per_second, case p_kind
            when 'sends' then e.sends_per_second else e.reads_per_second end)::double precision
        from payout.engine_settings as e
        join payout.paces as p on p.kind = p_kind);
    if p_count = 0 or apart_seconds is null then
        apart_seconds := 0;
        return;
    end if;

    v_taken := (1e6 * p_count * apart_seconds)::bigint;
    begin
        for v_try in 1 .. 50 loop
            v_has_lock := pg_try_advisory_lock(hashtext('payout.take_turns'), hashtext(p_kind));
            exit when v_has_lock;
            perform pg_sleep(0.002);
        end loop;
        first_seconds := (
            select case
                when p_kind = 'reads' or t.first_at <= v_now + 5000000
                    then ((setval(v_turns, t.first_at + v_taken) - v_taken - v_now) / 1e6)
                        ::double precision
            end
            from (
                -- One that is a minute ahead was set by a clock that has since been set back.
                select case when l.at between v_now and v_now + 60000000 then l.at else v_now end
                from (select pg_sequence_last_value(v_turns)) as l (at)
            ) as t (first_at));
        perform pg_advisory_unlock(hashtext('payout.take_turns'), hashtext(p_kind))
        where v_has_lock;
    exception
        -- Whatever ends the statement gives the lock back: a session keeps it otherwise.
        when operator_intervention or insufficient_resources or object_not_in_prerequisite_state
            or transaction_rollback or data_exception or system_error or internal_error then
            perform pg_advisory_unlock(hashtext('payout.take_turns'), hashtext(p_kind))
            where v_has_lock;
            raise;
    end;
    if first_seconds > 0 then
        perform payout.raise_pace(p_kind, p_now);
    end if;
end
$$;
comment on function payout.take_turns(text, integer, timestamptz) is
    'Hands out so many turns: seconds from now to the first, and from each to the next; null: none '
    'is free.';
-- frozen: procedures/transfers/transfer_facts.sql faeacfe7e0c8
create or replace function payout.transfer_facts(
    p_transfer payout.payout_transfers, p_is_livemode boolean
)
returns jsonb
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return jsonb_build_object(
        'payout_ref', p_transfer.payout_ref,
        'settlement_id', p_transfer.settlement_id,
        'amount_minor', p_transfer.amount_minor,
        'currency', p_transfer.currency,
        'destination', (
            select r.destination
            from payout.transfer_requests as r
            where r.payout_transfer_id = p_transfer.payout_transfer_id
            order by r.generation desc
            limit 1),
        'is_livemode', p_is_livemode);
end
$$;
comment on function payout.transfer_facts(payout.payout_transfers, boolean) is
    'Reference, settlement, amount, currency, destination and mode of a transfer by these books.';
-- frozen: procedures/transfers/transfer_request.sql 723ae217de60
create or replace function payout.transfer_request(
    p_transfer payout.payout_transfers,
    p_destination text,
    p_metadata jsonb,
    p_installation_id text
)
returns jsonb
language sql
stable
return jsonb_object(array[
    'currency', p_transfer.currency,
    'destination', p_destination,
    case when p_transfer.source_transaction is null
        then 'transfer_group' else 'source_transaction' end,
    coalesce(p_transfer.source_transaction, p_transfer.payout_ref)
]) || jsonb_build_object(
    'amount', p_transfer.amount_minor,
    'metadata', p_metadata || jsonb_object(array[
        'payout_engine', p_installation_id,
        'payout_ref', p_transfer.payout_ref,
        'settlement_id', p_transfer.settlement_id,
        'payee_id', p_transfer.payee_id]));
comment on function payout.transfer_request(payout.payout_transfers, text, jsonb, text) is
    'The request for a transfer to an account, with the metadata of its settlement and the '
    'installation''s id.';
-- frozen: procedures/transfers/untold_outcomes.sql 95ffd2f57fa1
create or replace function payout.untold_outcomes(
    p_from bigint default -9223372036854775808, p_to bigint default 9223372036854775807
)
returns table (
    payout_transfer_id bigint,
    status text,
    reason text,
    hold_id bigint,
    stripe_transfer_id text,
    reversed_minor bigint,
    told_status text,
    told_reversed_minor bigint
)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select payout_transfer_id, p.status,
        case when p.status in ('failed', 'cancelled', 'settled_outside', 'waiting_for_account')
            then p.reason end,
        case p.status when 'on_hold' then p.hold_id end,
        p.stripe_transfer_id, p.reversed_minor, w.status, w.reversed_minor
    from (
        select s.*, coalesce(r.reversed_minor, 0) as reversed_minor, case
                when s.state = 'scheduled' and s.next_attempt_at is null then 'waiting_for_account'
                when s.hold_id is null then st.status
                else st.status_on_hold
            end as status
        from payout.transfer_states as s
        join payout.states as st on st.state = s.state
        left join (
            select e.payout_transfer_id, sum(e.amount_minor)::bigint as reversed_minor
            from payout.ledger_entries as e
            where e.kind = 'reversal' and e.payout_transfer_id between p_from and p_to
            group by e.payout_transfer_id
        ) as r on r.payout_transfer_id = s.payout_transfer_id
        where s.payout_transfer_id between p_from and p_to
    ) as p
    full join (
        select distinct on (o.payout_transfer_id) o.*
        from payout.outcomes as o
        where o.payout_transfer_id between p_from and p_to
        order by o.payout_transfer_id, o.outcome_id desc
    ) as n using (payout_transfer_id)
    cross join lateral (
        select coalesce(n.status::text, 'scheduled') as status,
            coalesce(n.reversed_minor, 0) as reversed_minor
    ) as w
    where (p.status, p.reversed_minor) is distinct from (w.status, w.reversed_minor)
$$;
comment on function payout.untold_outcomes(bigint, bigint) is
    'One row for each such transfer from p_from to p_to with the outcome that the application '
    'should know as the last, and the status and sum of reversals that it was told.';
-- frozen: procedures/transfers/wait_of.sql d9e27f7a061b
create or replace function payout.wait_of(
    p_state payout.transfer_states, p_transfer payout.payout_transfers
)
returns payout.holds
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select h
    from payout.holds as h
    where h.released_at is null
        and h.awaits is not null
        and (h.scope, h.subject) in (
            ('currency', p_transfer.currency::text), ('payee', p_transfer.payee_id::text),
            ('transfer', p_transfer.payout_transfer_id::text))
        and (p_state.state = 'scheduled' and p_state.window_begins_at is null
            or p_state.state = 'failed')
        and p_state.next_attempt_at is not null
        and (h.awaits <> 'funds' or p_transfer.source_transaction is null
            or h.hold_id = p_state.hold_id)
        and (h.awaits in ('cap', 'account_change') or p_state.hold_id is not null
            or p_transfer.payout_transfer_id not in (select payout.let_through_ids()))
    order by h.goes_on_at desc nulls first, h.hold_id
    limit 1
$$;
comment on function payout.wait_of(payout.transfer_states, payout.payout_transfers) is
    'The hold; null: it waits for nothing.';
-- frozen: procedures/transfers/waits_of.sql 869a89ed9b75
create or replace function payout.waits_of(p_payout_transfer_ids bigint[])
returns bigint[]
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select array(
        select h.hold_id
        from payout.holds as h
        where h.released_at is null
            and h.awaits in ('funds', 'account')
            and h.hold_id in (
                select (payout.wait_of(s, t)).hold_id
                from payout.transfer_states as s
                join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
                where s.payout_transfer_id = any (p_payout_transfer_ids))
        order by h.hold_id
        for update)
$$;
comment on function payout.waits_of(bigint[]) is
    'Ids of the longest wait of each, if it is for funds or for an account.';
-- frozen: procedures/identity/adopt_at_first_claim.sql c819390c11cf
create or replace function payout.adopt_at_first_claim(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_payout_transfer_ids <> '{}' and (
        select e.is_installation from payout.adoptions as e order by e.adoption_id desc limit 1
    ) then
        insert into payout.adoptions (
            system_identifier, timeline_id, database_oid, table_oid, is_first_claim, reason)
        select w.*, true, 'the first claim'
        from payout.database_identity() as w;
    end if;
end
$$;
comment on function payout.adopt_at_first_claim(bigint[]) is
    'Records the identity of a new installation, once it hands out any of these transfers.';
-- frozen: procedures/identity/bind_stripe_account.sql 77749caf6e88
create or replace function payout.bind_stripe_account(
    p_stripe_account_id text, p_is_livemode boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
begin
    select * into strict v_settings from payout.engine_settings;

    if v_settings.stripe_account_id is null and p_stripe_account_id is not null
        and p_is_livemode = coalesce(v_settings.is_livemode, p_is_livemode) then
        update payout.engine_settings as e
        set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode
        where e.stripe_account_id is null;
        if found then
            insert into payout.operator_actions (action, subject, reason, details)
            values ('fix_stripe_account', p_stripe_account_id,
                'the engine: no account was named before',
                jsonb_build_object('is_livemode', p_is_livemode));
        end if;
        -- Another session may have been first.
        select * into strict v_settings from payout.engine_settings;
    end if;

    if v_settings.stripe_account_id is distinct from p_stripe_account_id
        or (p_stripe_account_id is not null
            and v_settings.is_livemode is distinct from p_is_livemode) then
        raise exception 'this database does not pay from %',
            payout.stripe_account_label(p_stripe_account_id, p_is_livemode)
            using
                errcode = 'SP404',
                detail = format('It pays from %s.', payout.stripe_account_label(
                    v_settings.stripe_account_id, v_settings.is_livemode)),
                hint = 'Give the worker a key of that account and mode; if the platform has moved, '
                    'see payout_api.change_stripe_account.';
    end if;
end
$$;
comment on function payout.bind_stripe_account(text, boolean) is
    'Fixes the first Stripe account and mode that a caller names; refuses every other (SP404).';
-- frozen: procedures/identity/identity_problem.sql 33ed848c87bd
create or replace function payout.identity_problem()
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_adoption payout.adoptions;
    v_current record;
    v_changes text;
begin
    select * into v_adoption from payout.adoptions as e order by e.adoption_id desc limit 1;
    if not found then
        return 'It was never adopted, and it had transfers when it was installed.';
    end if;
    if v_adoption.system_identifier is null then
        return format('Claims were stopped: %s.', v_adoption.reason);
    end if;

    v_current := payout.database_identity();
    v_changes := concat_ws('; ',
        case when v_current.system_identifier <> v_adoption.system_identifier then
            format('system from %s to %s',
                v_adoption.system_identifier, v_current.system_identifier) end,
        case when v_current.timeline_id <> v_adoption.timeline_id then
            format('timeline from %s to %s', v_adoption.timeline_id, v_current.timeline_id) end,
        case when v_current.database_oid <> v_adoption.database_oid then
            format('database from %s to %s', v_adoption.database_oid, v_current.database_oid) end,
        case when v_current.table_oid <> v_adoption.table_oid then
            format('tables from %s to %s', v_adoption.table_oid, v_current.table_oid) end);
    -- A copy of an installation that never claimed, such as a template, has forgotten nothing, or
    -- Stripe's newest transfers show it before the first claim (refuse_unsafe_database). A
    -- promoted standby may have forgotten the first claims a moment ago.
    if v_changes <> '' and (
        not v_adoption.is_installation
        or (v_adoption.system_identifier = v_current.system_identifier
            and v_adoption.timeline_id <> v_current.timeline_id)
    ) then
        return format('Changed since: %s.', v_changes);
    end if;

    -- Rows that were loaded into a new installation, or replicated to it, bring no adoption.
    if v_adoption.is_installation and v_adoption.recorded_at > (
        select t.created_at from payout.payout_transfers as t order by t.payout_transfer_id limit 1
    ) then
        return 'It has transfers from before it was installed.';
    end if;
    -- The first claim of an installation writes an adoption of its own (adopt_at_first_claim).
    if v_adoption.is_installation and exists (select from payout.transfer_attempts)
        and not exists (
            select from payout.adoptions as e
            where e.adoption_id > v_adoption.adoption_id and e.is_first_claim
        ) then
        return 'It has attempts that another installation handed out.';
    end if;
    return null;
end
$$;
comment on function payout.identity_problem() is
    'Names the difference between the identity of the database and the adopted one, or another '
    'reason to refuse claims; null: none.';
-- frozen: procedures/identity/refuse_unsafe_account_change.sql 794d6e74f2b1
create or replace function payout.refuse_unsafe_account_change(
    p_old payout.engine_settings, p_is_livemode boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    -- The other account would report each as never executed, also one that failed by refusals which
    -- name no key, or that two people gave up. Test mode moves no money.
    if p_old.stripe_account_id is not null and p_is_livemode and exists (
        select from payout.transfer_states as s
        where s.attempt > 0
            and (s.state in ('in_flight', 'retry_wait', 'unknown', 'parked')
                or s.state = 'failed' and exists (
                    select from payout.transfer_observations as o
                    where o.payout_transfer_id = s.payout_transfer_id
                        and o.generation = s.generation
                        and o.moved_to = 'failed'
                        and o.signal in ('response', 'give_up')
                        and (o.facts ->> 'is_tied')::boolean is not true))
    ) then
        raise exception 'transfers are open that % may have executed', p_old.stripe_account_id
            using
                errcode = 'SP411',
                hint = 'Have them settled with a key of the old account first (docs/restore.md).';
    end if;

    -- Answers of the test account say nothing about the live one.
    if p_is_livemode and exists (
        select from payout.operator_actions as a
        where a.action = 'change_stripe_account'
            and a.details @> '{"old_is_livemode": true, "is_livemode": false}'
            and (exists (
                select from payout.transfer_attempts as t where t.claimed_at > a.acted_at
            ) or exists (
                select from payout.stripe_reads as r where r.begun_at > a.acted_at
            ))
    ) then
        raise exception 'a database that was used in test mode does not go back to live mode'
            using
                errcode = 'SP411',
                hint = 'A copy that was used in test mode stays in test mode (docs/restore.md).';
    end if;
end
$$;
comment on function payout.refuse_unsafe_account_change(payout.engine_settings, boolean) is
    'Refuses a live account while transfers are open that were ever sent, or failed without an '
    'answer that names their key, and after anything was done in test mode (SP411).';
-- frozen: procedures/identity/release.sql 0b5c5d6d1a56
create or replace function payout_api.release()
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select '1.0'
$$;
comment on function payout_api.release() is
    'Major and minor number of the release. A worker of the release before, or of the next one, '
    'goes on while the others are replaced; any other is refused.';
grant execute on function payout_api.release()
    to payout_worker, payout_operator, payout_auditor;
-- frozen: procedures/identity/stop_claims.sql c1661e3a9696
create or replace function payout.stop_claims(p_alarm text, p_reason text, p_read_id bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform from payout.engine_settings for update;
    if payout.identity_problem() is not null then
        return;
    end if;
    insert into payout.adoptions (read_id, reason) values (p_read_id, p_reason);
    insert into payout.operator_actions (action, subject, reason, details)
    values ('stop_claims', p_alarm, p_reason, jsonb_build_object('read_id', p_read_id));
    perform payout.notify_operators(
        p_alarm, p_reason, jsonb_build_object('read_id', p_read_id));
end
$$;
comment on function payout.stop_claims(text, text, bigint) is
    'Records that the database is not adopted, for a reason that a read has shown, and notifies '
    'operators.';
-- frozen: procedures/identity/stripe_account_label.sql 260751e2b08d
create or replace function payout.stripe_account_label(
    p_stripe_account_id text, p_is_livemode boolean
)
returns text
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return format('%s in %s mode', coalesce(p_stripe_account_id, 'an account not named'),
        case p_is_livemode when true then 'live' when false then 'test' else 'unknown' end);
end
$$;
comment on function payout.stripe_account_label(text, boolean) is
    'Text such as: acct_1 in live mode.';
-- frozen: procedures/wakeup/defer_job.sql d1d2d8e68b3a
create or replace function payout.defer_job(p_payout_job_id bigint, p_times integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
as $$
begin
    if p_times < 1 or not payout.can_notify() then
        return '{}'::bigint[];
    end if;
    return procrastinate.procrastinate_defer_jobs_v1(array_fill(
        row(
            'payouts', 'payout.execute', 0, null, null,
            jsonb_build_object('payout_job_id', p_payout_job_id), null
        )::procrastinate.procrastinate_job_to_defer_v1,
        array[p_times]));
end
$$;
comment on function payout.defer_job(bigint, integer) is
    'Defers p_times queue jobs payout.execute in queue payouts; returns their ids, none while '
    'notifications are not read.';
-- frozen: procedures/wakeup/find_wakeup.sql 10594fce0d97
create or replace function payout.find_wakeup(p_payout_job_id bigint, p_times integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_wakeup_ids bigint[];
begin
    if not payout.has_queue() then
        perform payout.note_failed_queue('it is that of another application');
        return '{}'::bigint[];
    end if;
    if p_times = 1 then
        v_wakeup_ids := array[payout.pending_wakeup()];
        if v_wakeup_ids[1] is not null then
            return v_wakeup_ids;
        end if;
    end if;

    v_wakeup_ids := payout.defer_job(p_payout_job_id, p_times);
    if cardinality(v_wakeup_ids) > 0 then
        perform setval('payout.waiting_wakeup', v_wakeup_ids[1]);
    end if;
    return v_wakeup_ids;
exception when others then
    perform payout.note_failed_queue(sqlerrm);
    return '{}'::bigint[];
end
$$;
comment on function payout.find_wakeup(bigint, integer) is
    'One wake-up job that waits, if that is enough, or p_times new ones; their ids, none if the '
    'queue fails.';
-- frozen: procedures/wakeup/forget_pending_wakeup.sql a1a2d66d312c
create or replace function payout.forget_pending_wakeup()
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    if pg_sequence_last_value('payout.waiting_wakeup'::regclass) is not null then
        perform setval('payout.waiting_wakeup', 1, false);
    end if;
    if pg_sequence_last_value('payout.seen_wakeup'::regclass) > 0 then
        perform setval('payout.seen_wakeup', 1, false);
    end if;
end
$$;
comment on function payout.forget_pending_wakeup() is
    'Resets payout.waiting_wakeup, and payout.seen_wakeup unless it is 0; not undone by a '
    'rollback.';
-- frozen: procedures/wakeup/has_queue.sql 814780214924
create or replace function payout.has_queue()
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select pg_has_role(n.nspowner, 'payout_owner', 'member')
            and (has_schema_privilege(n.oid, 'usage')
                or obj_description(n.oid, 'pg_namespace') is not distinct from
                    'The queue of the payout engine, made by payout-engine migrate.')
        from pg_namespace as n
        where n.nspname = 'procrastinate'), true)
$$;
comment on function payout.has_queue() is
    'False where the queue is that of another application, or its owner no member of payout_owner: '
    'migrate marks the one that it makes.';
-- frozen: procedures/wakeup/lock_unrung_transfers.sql 4cf08bdf280a
create or replace function payout.lock_unrung_transfers(
    p_now timestamptz, p_limit integer, p_again_after interval
)
returns setof bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select s.payout_transfer_id
    from payout.transfer_states as s
    where s.payout_transfer_id in (
            select d.payout_transfer_id
            from payout.transfer_states as d
            where d.next_attempt_at <= p_now
                and d.hold_id is null
                and d.state in ('scheduled', 'retry_wait', 'unknown')
                and (d.wakeup_id is null or d.next_attempt_at <= p_now - p_again_after)
            order by d.next_attempt_at
            limit 10 * p_limit::bigint
        )
        and s.next_attempt_at <= p_now
        and s.hold_id is null
        and s.state in ('scheduled', 'retry_wait', 'unknown')
        and case
            when s.wakeup_id in (
                select q.id from procrastinate.procrastinate_jobs as q
                where q.status = 'todo' and q.task_name = 'payout.execute'
            ) then false
            when payout.progress_problem(s) is not null then false
            else (
                select not exists (
                    select from payout.holds as h
                    where h.released_at is null
                        and (h.scope, h.subject) in (
                            ('currency', t.currency::text), ('payee', t.payee_id::text),
                            ('settlement', t.settlement_id::text),
                            ('transfer', t.payout_transfer_id::text)))
                from payout.payout_transfers as t
                where t.payout_transfer_id = s.payout_transfer_id
            )
        end
    order by s.next_attempt_at
    limit p_limit
    for update of s skip locked;
end
$$;
comment on function payout.lock_unrung_transfers(timestamptz, integer, interval) is
    'Returns up to p_limit of the first due transfers without a wake-up job, of ten times as many.';
-- frozen: procedures/wakeup/note_failed_queue.sql f9685cc303ad
create or replace function payout.note_failed_queue(p_problem text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform setval('payout.seen_wakeup', 0);
    raise log 'payout: the queue of wake-up jobs failed: %', p_problem
        using hint = 'Transfers are claimed without them. See payout_api.doctor().';
end
$$;
comment on function payout.note_failed_queue(text) is
    'Sets payout.seen_wakeup to 0, also if the transaction rolls back, and writes to the server''s '
    'log.';
-- frozen: procedures/wakeup/pending_wakeup.sql 38b5349061a8
create or replace function payout.pending_wakeup()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wakeup_id bigint := pg_sequence_last_value('payout.waiting_wakeup'::regclass);
begin
    if v_wakeup_id is null then
        return null;
    end if;
    perform from procrastinate.procrastinate_jobs as q
    where q.id = v_wakeup_id
        and q.status = 'todo'
        and q.task_name = 'payout.execute';
    if not found then
        return null;
    end if;
    if not exists (
        select from procrastinate.procrastinate_events as e
        where e.job_id = v_wakeup_id and e.at = now()
    ) then
        perform setval('payout.seen_wakeup', v_wakeup_id);
    end if;
    return v_wakeup_id;
end
$$;
comment on function payout.pending_wakeup() is
    'The id of the wake-up job that waits in the queue, kept in payout.seen_wakeup if others see '
    'it too; or null.';
-- frozen: procedures/wakeup/queue_due_wakeups.sql ee2799c742e8
create or replace function payout.queue_due_wakeups(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_settings payout.engine_settings;
    v_due bigint[];
    v_wakeups bigint[];
begin
    if not payout.has_queue() or exists (
        select from payout.holds as h where h.scope = 'engine' and h.released_at is null
    ) then
        return 0;
    end if;
    perform payout.remove_lost_wakeups();
    select * into strict v_settings from payout.engine_settings;

    v_due := array(
        select payout.lock_unrung_transfers(p_now, p_limit, v_settings.queue_wakeup_again_after));

    v_wakeups := payout.defer_job(
        (select t.payout_job_id from payout.payout_transfers as t
            where t.payout_transfer_id = v_due[1]),
        ceil(cardinality(v_due)::numeric / v_settings.transfers_per_wakeup)::integer);

    update payout.transfer_states as s
    set wakeup_id = v_wakeups[1 + (d.place - 1) / v_settings.transfers_per_wakeup]
    from unnest(v_due) with ordinality as d (payout_transfer_id, place)
    where s.payout_transfer_id = d.payout_transfer_id;

    -- The job that was seen may be lost as well: the next settlement looks again.
    perform setval('payout.seen_wakeup', 1, false);
    return coalesce(cardinality(v_wakeups), 0);
exception when others then
    perform payout.note_failed_queue(sqlerrm);
    return 0;
end
$$;
comment on function payout.queue_due_wakeups(timestamptz, integer) is
    'Queues wake-up jobs for up to p_limit due transfers without one; returns the number of jobs, '
    '0 if the queue fails.';
-- frozen: procedures/wakeup/queue_problem.sql 872c196b9768
create or replace function payout.queue_problem()
returns text
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_wakeup_ids bigint[];
begin
    if not payout.has_queue() then
        return null;
    end if;
    if not payout.can_notify() then
        return 'notifications are not read: a listener is stuck';
    end if;
    v_wakeup_ids := payout.defer_job(0, 1);
    perform from procrastinate.procrastinate_jobs as q
    join procrastinate.procrastinate_events as e on e.job_id = q.id
    where q.id = any (v_wakeup_ids)
    for update of q;
    if not found then
        return 'a trigger of the queue does not fire, or a rule or trigger keeps jobs from it';
    end if;
    delete from procrastinate.procrastinate_jobs as q where q.id = any (v_wakeup_ids);
    return null;
exception
    when read_only_sql_transaction then
        return null;
    when others then
        return sqlerrm;
end
$$;
comment on function payout.queue_problem() is
    'The error of the queue, or null; a read-only transaction cannot tell, and gets null, and the '
    'queue of another application is not tried.';
-- frozen: procedures/wakeup/queue_wakeup.sql bfd3986ed9a2
create or replace function payout.queue_wakeup(
    p_payout_job_id bigint, p_transfers integer, p_pay_after timestamptz
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_seen_id bigint := pg_sequence_last_value('payout.seen_wakeup'::regclass);
    v_times integer := 1;
begin
    -- 0: the queue failed, and is left alone until the next sweep.
    if p_pay_after > now() or v_seen_id = 0 then
        return '{}'::bigint[];
    end if;
    if p_transfers > 1 then
        v_times := (
            select (p_transfers + e.transfers_per_wakeup - 1) / e.transfers_per_wakeup
            from payout.engine_settings as e);
    end if;
    if v_times = 1 and v_seen_id is not null then
        return array[v_seen_id];
    end if;
    return payout.find_wakeup(p_payout_job_id, v_times);
end
$$;
comment on function payout.queue_wakeup(bigint, integer, timestamptz) is
    'Queues one wake-up job for each transfers_per_wakeup (of engine_settings) transfers, or '
    'relies on one that waits already; none before pay_after, none while the queue fails. Returns '
    'the ids.';
-- frozen: procedures/wakeup/remove_lost_wakeups.sql d10bbca9452a
create or replace function payout.remove_lost_wakeups()
returns integer
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
as $$
declare
    v_removed integer;
begin
    delete from procrastinate.procrastinate_jobs as q
    where q.id in (
        select b.id
        from procrastinate.procrastinate_jobs as b
        where b.task_name in ('payout.execute', 'payout.sweep')
            and b.status <> 'todo'
            and (
                select max(e.at) from procrastinate.procrastinate_events as e where e.job_id = b.id
            ) < payout.clock() - case b.status
                when 'doing' then interval '2 minutes'
                else interval '1 day'
            end
        for update skip locked
    );
    get diagnostics v_removed = row_count;
    return v_removed;
end
$$;
comment on function payout.remove_lost_wakeups() is
    'Deletes queue jobs of ours that have been `doing` for two minutes or ended a day ago.';
-- frozen: procedures/wakeup/remove_served_wakeups.sql aadbd289b28c
create or replace function payout.remove_served_wakeups(p_wakeup_ids bigint[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, procrastinate, pg_temp
set lock_timeout = '100ms'
as $$
declare
    v_removed integer;
begin
    if p_wakeup_ids is null or pg_sequence_last_value('payout.seen_wakeup'::regclass) = 0
        or not payout.has_queue() then
        return 0;
    end if;
    delete from procrastinate.procrastinate_jobs as q
    where q.id in (
        select b.id
        from procrastinate.procrastinate_jobs as b
        where b.id = any (p_wakeup_ids)
            and b.status = 'todo'
            and b.task_name = 'payout.execute'
        for update skip locked
    );
    get diagnostics v_removed = row_count;
    return v_removed;
exception when others then
    perform payout.note_failed_queue(sqlerrm);
    return 0;
end
$$;
comment on function payout.remove_served_wakeups(bigint[]) is
    'Deletes the queue jobs of these ids that no worker has fetched yet; returns their number, 0 '
    'if the queue fails.';
-- frozen: procedures/wakeup/wake_up_for.sql 7d256838cfbd
create or replace function payout.wake_up_for(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wakeup_ids bigint[];
begin
    if cardinality(p_payout_transfer_ids) > 0 then
        v_wakeup_ids := payout.queue_wakeup(
            (select t.payout_job_id from payout.payout_transfers as t
                where t.payout_transfer_id = p_payout_transfer_ids[1]),
            cardinality(p_payout_transfer_ids), null);
        update payout.transfer_states as s
        set wakeup_id = v_wakeup_ids[1 + d.place % nullif(cardinality(v_wakeup_ids), 0)]
        from unnest(p_payout_transfer_ids) with ordinality as d (payout_transfer_id, place)
        where s.payout_transfer_id = d.payout_transfer_id;
    end if;
end
$$;
comment on function payout.wake_up_for(bigint[]) is
    'Queues a wake-up job for each transfers_per_wakeup of these transfers, and notes it with '
    'each.';
-- frozen: procedures/settle/begin_account_waits.sql cd5f7538e73f
create or replace function payout.begin_account_waits(p_settlement_id text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    with waiting as (
        insert into payout.account_waits (payout_transfer_id, payee_id)
        select t.payout_transfer_id, t.payee_id
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where t.settlement_id = p_settlement_id and s.reason = 'awaiting_account'
        returning payout_transfer_id
    )
    insert into payout.outcomes (payout_transfer_id, status, reason)
    select w.payout_transfer_id, 'waiting_for_account', 'awaiting_account'
    from waiting as w
    order by w.payout_transfer_id;
    perform payout.notify_application();
end
$$;
comment on function payout.begin_account_waits(text) is
    'Writes a row of account_waits, and an outcome, for each transfer of the settlement without a '
    'date.';
-- frozen: procedures/settle/complete_settlement.sql 1f681981f3d7
create or replace function payout_api.complete_settlement(
    p_settlement_id text,
    p_currency text,
    p_lines jsonb,
    p_pay_after timestamptz default null,
    p_metadata jsonb default null,
    p_register_payees boolean default false
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_settlement payout.settlements := row(
        p_settlement_id::payout.external_id, p_currency::payout.currency_code,
        null::payout.positive_minor, 'complete'::payout.settlement_state,
        p_pay_after::payout.moment, coalesce(p_metadata, '{}'::jsonb), current_timestamp
    )::payout.settlements;
    v_lines payout.settlement_lines[];
    v_line payout.settlement_lines;
    v_total_minor bigint := 0::bigint;
begin
    v_lines := payout.read_lines(v_settlement.settlement_id, p_lines);
    foreach v_line in array v_lines loop
        v_total_minor := v_total_minor + v_line.amount_minor;
    end loop;
    v_settlement.total_minor := v_total_minor;
    if p_register_payees then
        perform payout.register_payees(v_lines);
    end if;

    insert into payout.settlements
    values (v_settlement.*)
    on conflict (settlement_id) do nothing;

    if found then
        insert into payout.settlement_lines
        select l.*
        from unnest(v_lines) as l;
        return payout.schedule_payout_job(p_settlement_id, v_settlement,
            case when cardinality(v_lines) = 1 then v_lines[1] end);
    end if;

    perform payout.lock_same_settlement(
        p_settlement_id, p_currency, p_lines, p_pay_after, coalesce(p_metadata, '{}'));
    update payout.settlements as s
    set state = 'complete'
    where s.settlement_id = p_settlement_id
        and s.state = 'pending';

    return payout.schedule_payout_job(p_settlement_id);
end
$$;
comment on function payout_api.complete_settlement(
    text, text, jsonb, timestamptz, jsonb, boolean
) is
    'Records a settlement with its lines and schedules its payouts; returns the payout_job_id. '
    'Safe to repeat with the same content; amounts are in minor units of the currency. '
    'p_register_payees registers payees that are unknown, without an account.';
grant execute on function payout_api.complete_settlement(
    text, text, jsonb, timestamptz, jsonb, boolean
) to payout_app;
-- frozen: procedures/settle/create_transfers.sql 7ca86949f66e
create or replace function payout.create_transfers(p_settlement payout.settlements)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_job_id bigint;
    v_made_minor bigint;
    v_waits boolean;
begin
    insert into payout.payout_jobs (settlement_id) values (p_settlement.settlement_id)
    on conflict do nothing
    returning payout_job_id into v_payout_job_id;
    if not found then
        return (select j.payout_job_id from payout.payout_jobs as j
            where j.settlement_id = p_settlement.settlement_id);
    end if;

    with owed as materialized (
        select o.*, nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass) as id
        from payout.owed_transfers(p_settlement) as o
    ), wakeups as materialized (
        select case when count(*) > 0 then payout.queue_wakeup(
            v_payout_job_id, count(*)::integer, p_settlement.pay_after) end as ids
        from owed as o where o.has_account
    ), transfers as (
        insert into payout.payout_transfers (payout_transfer_id, payout_job_id, settlement_id,
            payee_id, source_transaction, amount_minor, currency)
        overriding system value
        select o.id, v_payout_job_id, p_settlement.settlement_id, o.payee_id,
            o.source_transaction, o.amount_minor, p_settlement.currency
        from owed as o
    ), states as (
        -- The wake-up jobs are shared out evenly; without any the sweep queues some.
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, wakeup_id, reason)
        select o.id,
            case when o.has_account then coalesce(p_settlement.pay_after, current_timestamp) end,
            case when o.has_account then w.ids[1 + (row_number() over (order by o.id) - 1)
                * cardinality(w.ids) / count(*) over ()] end,
            case when not o.has_account then 'awaiting_account' end
        from owed as o cross join wakeups as w
    ), entries as (
        insert into payout.ledger_entries (payout_transfer_id, kind, generation, debit_account,
            credit_account, currency, amount_minor)
        select o.id, e.kind, 1, e.debit_account, e.credit_account, p_settlement.currency,
            o.amount_minor
        from owed as o
        cross join lateral (values
            ('obligation', 'settlement_funds', 'payable:' || o.payee_id),
            ('reserve', 'payable:' || o.payee_id, 'in_flight')
        ) as e (kind, debit_account, credit_account)
        order by o.id, e.kind
    )
    select sum(o.amount_minor)::bigint, bool_or(not o.has_account) into v_made_minor, v_waits
    from owed as o having sum(o.amount_minor) = (
        select sum(l.amount_minor) from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id);
    if v_made_minor is distinct from p_settlement.total_minor then
        perform payout.refuse_settlement(p_settlement);
    end if;
    if v_waits then
        perform payout.begin_account_waits(p_settlement.settlement_id);
    end if;
    return v_payout_job_id;
end
$$;
comment on function payout.create_transfers(payout.settlements) is
    'Schedules the payouts of a complete settlement whose row this transaction has written; '
    'returns the payout_job_id, or the error that names what is wrong with it.';
-- frozen: procedures/settle/date_waiting_transfers.sql b19f0cb6dabd
create or replace function payout.date_waiting_transfers(p_payout_transfer_ids bigint[])
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_due_ids bigint[];
begin
    with owed as (
        select t.payout_transfer_id, coalesce(m.pay_after, t.created_at) as owed_at
        from payout.payout_transfers as t
        join payout.settlements as m on m.settlement_id = t.settlement_id
        where t.payout_transfer_id = any (p_payout_transfer_ids)
            and exists (select from payout.payee_accounts as a where a.payee_id = t.payee_id)
    ), dated as (
        update payout.transfer_states as s
        set next_attempt_at = case
                when o.owed_at > v_now - e.send_window_for then greatest(o.owed_at, v_now)
                else o.owed_at
            end,
            reason = null,
            changed_at = v_now
        from owed as o
        cross join payout.engine_settings as e
        where s.payout_transfer_id = o.payout_transfer_id
            and s.state = 'scheduled'
            and s.next_attempt_at is null
            and payout.progress_problem(s) is null
        returning s.payout_transfer_id, s.next_attempt_at
    )
    select array_agg(d.payout_transfer_id order by d.payout_transfer_id)
    into v_due_ids
    from dated as d
    where d.next_attempt_at <= v_now;

    update payout.account_waits as w
    set next_look_at = null
    from payout.transfer_states as s
    where w.payout_transfer_id = any (p_payout_transfer_ids)
        and w.next_look_at is not null
        and s.payout_transfer_id = w.payout_transfer_id
        and (s.state <> 'scheduled' or s.next_attempt_at is not null);
    return v_due_ids;
end
$$;
comment on function payout.date_waiting_transfers(bigint[]) is
    'Gives those of the transfers whose payee has an account their date; returns the ids of those '
    'that are due now.';
-- frozen: procedures/settle/edited_content.sql 913a5b60cbcc
create or replace function payout.edited_content(
    p_settlement payout.settlements, p_currency text, p_lines jsonb
)
returns table (ours jsonb, theirs jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with settled as (
        select l.payee_id::text, l.source_transaction::text, sum(l.amount_minor) as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ), handed_in as (
        select e.line ->> 'payee_id' as payee_id, e.line ->> 'source_transaction',
            trim_scale(sum(case jsonb_typeof(e.line -> 'amount_minor')
                when 'number' then (e.line -> 'amount_minor')::numeric end)) as amount_minor
        from jsonb_array_elements(
            case jsonb_typeof(p_lines) when 'array' then p_lines else '[]' end) as e (line)
        where jsonb_typeof(e.line) = 'object'
        group by e.line ->> 'payee_id', e.line ->> 'source_transaction'
        having sum(case jsonb_typeof(e.line -> 'amount_minor')
            when 'number' then (e.line -> 'amount_minor')::numeric end) is distinct from 0
    )
    select o.side, t.side
    from (
        select jsonb_build_object('settlement_id', p_settlement.settlement_id,
            'currency', p_settlement.currency, 'owed', coalesce(jsonb_agg(
                jsonb_strip_nulls(to_jsonb(c)) order by c.payee_id, c.source_transaction), '[]'))
        from (table settled except table handed_in) as c
    ) as o (side)
    cross join (
        select jsonb_build_object('settlement_id', p_settlement.settlement_id,
            'currency', p_currency, 'owed', coalesce(jsonb_agg(
                jsonb_strip_nulls(to_jsonb(c)) order by c.payee_id, c.source_transaction), '[]'))
        from (table handed_in except table settled) as c (
            payee_id, source_transaction, amount_minor)
    ) as t (side)
$$;
comment on function payout.edited_content(payout.settlements, text, jsonb) is
    'Settlement, currency and the amounts of payees that only one side has, as settled (ours) and '
    'as handed in (theirs); both are equal where nothing was edited.';
-- frozen: procedures/settle/lock_complete_settlement.sql c7937099c58d
create or replace function payout.lock_complete_settlement(p_settlement_id text)
returns payout.settlements
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
begin
    update payout.settlements as s
    set state = s.state
    where s.settlement_id = p_settlement_id
    returning * into v_settlement;

    if not found then
        raise exception 'settlement % does not exist', p_settlement_id
            using errcode = 'SP310';
    end if;
    if v_settlement.state <> 'complete' then
        raise exception 'settlement % is still pending', p_settlement_id
            using
                errcode = 'SP202',
                hint = 'Set its state to complete; that schedules its payouts.';
    end if;
    return v_settlement;
end
$$;
comment on function payout.lock_complete_settlement(text) is
    'Returns the row of a complete settlement, which no other transaction then changes or '
    'schedules.';
-- frozen: procedures/settle/lock_same_settlement.sql f0e62aaadebd
create or replace function payout.lock_same_settlement(
    p_settlement_id text,
    p_currency text,
    p_lines jsonb,
    p_pay_after timestamptz,
    p_metadata jsonb
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settlement payout.settlements;
    v_difference text;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id
    for update;
    if not found then
        raise exception 'settlement % was deleted meanwhile', p_settlement_id
            using
                errcode = 'SP402',
                hint = 'Repeat the transaction.';
    end if;

    v_difference := payout.settlement_difference(
        v_settlement, p_currency, p_lines, p_pay_after, p_metadata);
    if v_difference <> '' then
        raise exception 'settlement % exists with other content: %', p_settlement_id, v_difference
            using
                errcode = 'SP307',
                detail = format('The settlement is %s.', v_settlement.state),
                hint = 'Repeat a settlement unchanged, or give another one its own id.';
    end if;
end
$$;
comment on function payout.lock_same_settlement(text, text, jsonb, timestamptz, jsonb) is
    'Locks the row of a settlement; refuses another currency, lines, pay_after or metadata than it '
    'has (SP307).';
-- frozen: procedures/settle/lock_settlements_of_lines.sql 7d9ba489fbd6
create or replace function payout.lock_settlements_of_lines(
    p_settlement_ids text[], p_must_exist boolean
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_found_ids text[] := array(
        select s.settlement_id::text
        from payout.settlements as s
        where s.settlement_id = any (p_settlement_ids)
        order by s.settlement_id
        for no key update);
begin
    if p_must_exist and cardinality(v_found_ids) < cardinality(p_settlement_ids) then
        raise exception 'settlement % does not exist',
            (select min(i) from unnest(p_settlement_ids) as i where i <> all (v_found_ids))
            using
                errcode = 'SP310',
                detail = 'A line needs its settlement, which this transaction does not see.',
                hint = 'Insert a settlement before its lines, or in the same statement.',
                schema = 'payout',
                table = 'settlement_lines';
    end if;

    update payout.settlements as s
    set state = s.state
    where s.settlement_id = any (v_found_ids)
        and s.state = 'pending'
        and s.xmin <> pg_current_xact_id()::xid;
end
$$;
comment on function payout.lock_settlements_of_lines(text[], boolean) is
    'Locks the settlements of changed lines against completion; refuses lines of none (SP310).';
-- frozen: procedures/settle/metadata_problem.sql 34bddf4d567c
create or replace function payout.metadata_problem(p_metadata jsonb)
returns text
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_metadata = '{}' then null
        when jsonb_typeof(p_metadata) <> 'object' then 'is not an object'
        when (select count(*) from jsonb_object_keys(p_metadata)) > 46 then 'has over 46 keys'
        else (
            select c.problem
            from jsonb_each(p_metadata) as m
            cross join lateral (select case
                when m.key in ('payout_engine', 'payout_ref', 'settlement_id', 'payee_id')
                    then format('key %s is reserved', m.key)
                when length(m.key) not between 1 and 40
                    then format('key %s is not 1 to 40 characters long', left(m.key, 60))
                when m.key ~ '[][]' then format('key %s has a square bracket', m.key)
                when jsonb_typeof(m.value) <> 'string' then format('value of %s is not text', m.key)
                when length(m.value #>> '{}') not between 1 and 500
                    then format('value of %s is not 1 to 500 characters long', m.key)
            end) as c (problem)
            where c.problem is not null
            order by m.key
            limit 1
        )
    end
$$;
comment on function payout.metadata_problem(jsonb) is
    'The rule of Stripe that this metadata breaks beside our own four keys, or null.';
-- frozen: procedures/settle/outcomes_since.sql 1849d8287943
create or replace function payout_api.outcomes_since(
    p_after bigint default 0, p_limit integer default 100
)
returns table (
    outcome_id bigint,
    settlement_id text,
    payee_id text,
    source_transaction text,
    amount_minor bigint,
    currency text,
    status text,
    reason text,
    stripe_transfer_id text,
    changed_at timestamptz,
    reversed_minor bigint
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_drawn bigint;
    v_settled bigint;
begin
    if pg_is_in_recovery() or current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'no outcomes are read %', case
            when pg_is_in_recovery() then 'from a standby'
            else 'in a transaction that is ' || current_setting('transaction_isolation') end
            using
                errcode = 'SP401',
                hint = 'Only a new snapshot of the primary shows that nothing is missing: begin '
                    'isolation level read committed';
    end if;
    if current_setting('transaction_read_only') = 'off'
        and pg_sequence_last_value('payout.awaited_outcomes'::regclass) is null then
        perform setval('payout.awaited_outcomes', 1);
    end if;

    v_drawn := coalesce(pg_sequence_last_value('payout.outcomes_outcome_id_seq'::regclass), 0);
    if coalesce(p_limit, 0) not between 1 and 10000 or p_after is null or p_after > v_drawn then
        raise exception 'cannot read % outcomes after %', coalesce(p_limit::text, 'null'),
            coalesce(p_after::text, 'null')
            using
                errcode = 'SP315',
                detail = format('The last outcome has number %s at most.', v_drawn),
                hint = 'Ask for 1 to 10000. A cursor from the future means that the database went '
                    'back in time: read again from an earlier one.';
    end if;

    -- A writer has a lock on the table, too, which no stranger can take.
    v_settled := least(v_drawn, (
        select min(w.key) + 9000000000000000000
        from (
            select min(l.classid::bigint << 32 | l.objid::bigint)
                filter (where l.locktype = 'advisory' and l.objsubid = 1) as key
            from pg_locks as l
            where l.database = (
                    select d.oid from pg_database as d where d.datname = current_database())
                and l.pid is distinct from pg_backend_pid()
            group by l.virtualtransaction
            having bool_or(l.relation = 'payout.outcomes'::regclass
                and l.mode = 'RowExclusiveLock')
        ) as w
        where w.key < -8000000000000000000));
    return query
    select o.outcome_id, t.settlement_id::text, t.payee_id::text, t.source_transaction,
        t.amount_minor, t.currency::text, o.status::text,
        coalesce(o.reason, 'waits_for_' || h.awaits, h.scope || '_on_hold'),
        o.stripe_transfer_id, o.changed_at, o.reversed_minor
    from payout.outcomes as o
    join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
    left join payout.holds as h on h.hold_id = o.hold_id
    where o.outcome_id > p_after and o.outcome_id <= v_settled
    order by o.outcome_id
    limit p_limit;
end
$$;
comment on function payout_api.outcomes_since(bigint, integer) is
    'Up to p_limit changes of status, and reversals, with an outcome_id above p_after, in order. '
    'Store the last outcome_id and read on from there: nothing is skipped, nothing comes twice.';
grant execute on function payout_api.outcomes_since(bigint, integer) to payout_app;
-- frozen: procedures/settle/owed_transfers.sql 7b524e8f1497
create or replace function payout.owed_transfers(p_settlement payout.settlements)
returns table (
    payee_id payout.external_id,
    source_transaction text,
    amount_minor bigint,
    has_account boolean
)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select o.payee_id, o.source_transaction, o.amount_minor, h.has_account
    from (
        -- A sum that no bigint holds is none that the settlement's total could be.
        select l.payee_id, l.source_transaction::text,
            least(sum(l.amount_minor), 9223372036854775807)::bigint as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    ) as o
    join payout.currencies as c on c.currency = p_settlement.currency
        and o.amount_minor % c.amount_step = 0
    cross join lateral (
        select exists (select from payout.payee_accounts as a where a.payee_id = o.payee_id)
        offset 0
    ) as h (has_account)
    where payout.metadata_problem(p_settlement.metadata) is null
        and (h.has_account
            or exists (select from payout.payees as p where p.payee_id = o.payee_id))
    order by o.payee_id, o.source_transaction;
end
$$;
comment on function payout.owed_transfers(payout.settlements) is
    'Payee, source and amount in minor units of each transfer that a settlement makes, and whether '
    'the payee has an account.';
-- frozen: procedures/settle/read_lines.sql 01a86b749f49
create or replace function payout.read_lines(p_settlement_id payout.external_id, p_lines jsonb)
returns payout.settlement_lines[]
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_lines payout.settlement_lines[] := '{}'::payout.settlement_lines[];
    v_line jsonb := p_lines -> 0;
    v_line_id text := v_line ->> 'line_id';
    v_payee_id text := v_line ->> 'payee_id';
    v_source_transaction text := v_line ->> 'source_transaction';
    v_amount_minor text := (v_line -> 'amount_minor')::text;
begin
    if jsonb_typeof(p_lines) = 'array' and p_lines -> 1 is null
        and v_amount_minor ~ '^[1-9][0-9]{0,17}$'
        and v_line_id is not null and v_payee_id is not null
        and v_line - 'amount_minor' = (case
            when v_source_transaction is null
                then jsonb_object(array['line_id', v_line_id, 'payee_id', v_payee_id])
            else jsonb_object(array['line_id', v_line_id, 'payee_id', v_payee_id,
                'source_transaction', v_source_transaction])
        end) then
        return array[row(
            p_settlement_id, v_line_id, v_payee_id, v_amount_minor, v_source_transaction
        )::payout.settlement_lines];
    end if;

    perform payout.refuse_bad_lines(p_lines);
    for i in 0 .. jsonb_array_length(p_lines) - 1 loop
        v_line := p_lines -> i;
        v_lines := v_lines || row(
            p_settlement_id, v_line ->> 'line_id', v_line ->> 'payee_id',
            v_line ->> 'amount_minor', v_line ->> 'source_transaction'
        )::payout.settlement_lines;
    end loop;
    return v_lines;
end
$$;
comment on function payout.read_lines(payout.external_id, jsonb) is
    'The lines of a settlement given as JSON, or an error that names the wrong one (SP309).';
-- frozen: procedures/settle/refuse_bad_lines.sql 87a9164adb90
create or replace function payout.refuse_bad_lines(p_lines jsonb)
returns void
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    if p_lines is null or jsonb_typeof(p_lines) <> 'array' or p_lines = '[]' then
        v_problem := 'p_lines is not an array with at least one line';
    else
        select format('line %s of p_lines %s', e.position, c.problem) into v_problem
        from (
            select e.line, e.position,
                row_number() over (partition by e.line ->> 'line_id' order by e.position) as nth
            from jsonb_array_elements(p_lines) with ordinality as e (line, position)
        ) as e
        cross join lateral (select case
            when jsonb_typeof(e.line) <> 'object' then 'is not an object'
            when jsonb_typeof(e.line -> 'line_id') is distinct from 'string'
                then 'has no text line_id'
            when jsonb_typeof(e.line -> 'payee_id') is distinct from 'string'
                then 'has no text payee_id'
            when jsonb_typeof(e.line -> 'amount_minor') is distinct from 'number'
                or e.line ->> 'amount_minor' !~ '^-?[0-9]+$'
                then 'has no whole number amount_minor'
            when e.line ->> 'amount_minor' !~ '^[1-9]'
                then 'has an amount_minor that is not above 0'
            when (e.line -> 'amount_minor')::numeric > 9223372036854775807
                then 'has an amount_minor that no bigint holds'
            when coalesce(jsonb_typeof(e.line -> 'source_transaction'), 'null')
                not in ('string', 'null')
                then 'has a source_transaction that is not text'
            when e.line - array['line_id', 'payee_id', 'amount_minor', 'source_transaction'] <> '{}'
                then 'has a key that is none of line_id, payee_id, amount_minor, source_transaction'
            when e.nth > 1 then format('repeats the line_id %s', e.line ->> 'line_id')
        end) as c (problem)
        where c.problem is not null
        order by e.position
        limit 1;
    end if;

    if v_problem is not null then
        raise exception '%', v_problem
            using
                errcode = 'SP309',
                hint = 'A line is {"line_id":"1","payee_id":"seller_1","amount_minor":700}.';
    end if;
end
$$;
comment on function payout.refuse_bad_lines(jsonb) is
    'Refuses lines given as JSON that cannot be read, naming the first (SP309).';
-- frozen: procedures/settle/refuse_settlement.sql 3870b35c6abb
create or replace function payout.refuse_settlement(p_settlement payout.settlements)
returns void
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_wrong record;
begin
    select * into strict v_wrong from payout.settlement_problem(p_settlement);
    raise exception 'settlement %', p_settlement.settlement_id || v_wrong.problem
        using errcode = v_wrong.code, hint = v_wrong.hint;
end
$$;
comment on function payout.refuse_settlement(payout.settlements) is
    'Raises the error of the first thing that is wrong with a settlement.';
-- frozen: procedures/settle/register_payee.sql 09897e3b8568
create or replace function payout_api.register_payee(
    p_payee_id text, p_stripe_account_id text default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set enable_seqscan = off
as $$
declare
    v_current text;
    v_waiting_ids bigint[];
begin
    insert into payout.payees (payee_id)
    values (p_payee_id)
    on conflict (payee_id) do nothing;

    if p_stripe_account_id is null then
        return;
    end if;

    perform
    from payout.payees as p
    where p.payee_id = p_payee_id
    for no key update;

    select a.stripe_account_id into v_current
    from payout.payee_accounts as a
    where a.payee_id = p_payee_id
    order by a.payee_account_id desc
    limit 1;

    if v_current is distinct from p_stripe_account_id then
        insert into payout.payee_accounts (payee_id, stripe_account_id)
        values (p_payee_id, p_stripe_account_id);
        if v_current is not null then
            perform payout.change_of_account(p_payee_id);
        end if;
    end if;

    v_waiting_ids := array(
        select w.payout_transfer_id
        from payout.account_waits as w
        where w.payee_id = p_payee_id and w.next_look_at is not null
        order by w.payout_transfer_id
        for update);
    if v_waiting_ids <> '{}' then
        perform payout.wake_up_for(payout.date_waiting_transfers(v_waiting_ids));
    end if;
end
$$;
comment on function payout_api.register_payee(text, text) is
    'Registers a payee; with an account, records it as the one to pay from now on, and lets '
    'transfers that waited for it go out. Repeatable; a transfer that was claimed keeps its '
    'account under its key.';
grant execute on function payout_api.register_payee(text, text) to payout_app, payout_operator;
-- frozen: procedures/settle/register_payees.sql 2888328cc69b
create or replace function payout.register_payees(p_lines payout.settlement_lines[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.payees (payee_id)
    select distinct l.payee_id
    from unnest(p_lines) as l
    where not exists (select from payout.payees as p where p.payee_id = l.payee_id)
    order by l.payee_id
    on conflict (payee_id) do nothing;
end
$$;
comment on function payout.register_payees(payout.settlement_lines[]) is
    'Writes the payees that are unknown; an account comes with payout_api.register_payee.';
-- frozen: procedures/settle/replace_edit.sql 6374d9112cb5
create or replace function payout.replace_edit(p_ours jsonb, p_theirs jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_resolution text := case
        when p_ours = p_theirs then 'The application has it as it was settled.'
        else 'The application edited it again.'
    end;
begin
    with former as (
        select d.discrepancy_id
        from payout.discrepancies as d
        where d.kind = 'settlement_edited'
            and d.ours ->> 'settlement_id' = p_ours ->> 'settlement_id'
            and d.resolved_at is null
            and (d.ours, d.theirs) <> (p_ours, p_theirs)
        order by d.discrepancy_id
        for update skip locked
    ), resolved as (
        update payout.discrepancies as d
        set resolved_at = payout.clock(),
            resolved_by = 'engine',
            resolution = v_resolution
        from former as f
        where d.discrepancy_id = f.discrepancy_id
        returning d.discrepancy_id
    )
    insert into payout.operator_actions (action, subject, reason, details)
    select 'resolve_discrepancy', 'settlement_edited', v_resolution,
        jsonb_build_object('discrepancy_id', r.discrepancy_id)
    from resolved as r;

    insert into payout.discrepancies (kind, ours, theirs, advice)
    select k.kind, p_ours, p_theirs, k.advice
    from payout.discrepancy_kinds as k
    where k.kind = 'settlement_edited'
        and p_ours <> p_theirs
        and not exists (
            select from payout.discrepancies as d
            where d.kind = 'settlement_edited'
                and d.ours ->> 'settlement_id' = p_ours ->> 'settlement_id'
                and (d.ours, d.theirs) = (p_ours, p_theirs)
                and (d.resolved_at is null or d.resolved_by <> 'engine')
        );
end
$$;
comment on function payout.replace_edit(jsonb, jsonb) is
    'Resolves the open discrepancies settlement_edited of a settlement that say otherwise, and '
    'records this one, unless it is known or there is no difference.';
-- frozen: procedures/settle/report_edit.sql 7b7db8f50f98
create or replace function payout_api.report_edit(
    p_settlement_id text, p_currency text, p_lines jsonb
)
returns boolean
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_settlement payout.settlements;
    v_ours jsonb;
    v_theirs jsonb;
begin
    select * into v_settlement
    from payout.settlements as s
    where s.settlement_id = p_settlement_id and s.state = 'complete';
    if not found then
        return null;
    end if;

    select e.ours, e.theirs into strict v_ours, v_theirs
    from payout.edited_content(v_settlement, p_currency, p_lines) as e;
    perform payout.replace_edit(v_ours, v_theirs);
    return v_ours = v_theirs;
end
$$;
comment on function payout_api.report_edit(text, text, jsonb) is
    'Compares currency and lines, as complete_settlement takes them, with a complete settlement: '
    'true if they agree, false if not, which is then a discrepancy settlement_edited; null if '
    'there is no such settlement. Changes no settlement and raises nothing.';
grant execute on function payout_api.report_edit(text, text, jsonb) to payout_app;
-- frozen: procedures/settle/schedule_payout_job.sql a5e77b6b03d0
create or replace function payout.schedule_payout_job(
    p_settlement_id text,
    p_settlement payout.settlements default null,
    p_line payout.settlement_lines default null
)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_payout_job_id bigint;
    v_transfer_id bigint;
    v_wakeup_id bigint;
begin
    -- A snapshot shows the lines of a settlement of the same id that was deleted after it was
    -- taken: locking what it shows of the id then fails (40001).
    if current_setting('transaction_isolation') in ('repeatable read', 'serializable') then
        perform from payout.settlements as s
        where s.settlement_id = p_settlement_id
        for key share;
    end if;
    if p_line.line_id is null then
        return payout.create_transfers(
            coalesce(p_settlement, payout.lock_complete_settlement(p_settlement_id)));
    end if;
    -- The wake-up job that was seen to wait serves nearly every settlement.
    select nextval('payout.payout_jobs_payout_job_id_seq'::regclass),
        nextval('payout.payout_transfers_payout_transfer_id_seq'::regclass),
        pg_sequence_last_value('payout.seen_wakeup'::regclass)
    into v_payout_job_id, v_transfer_id, v_wakeup_id
    from payout.currencies as c
    where c.currency = p_settlement.currency
        and p_line.amount_minor = p_settlement.total_minor
        and p_line.amount_minor % c.amount_step = 0
        and exists (select from payout.payee_accounts as a where a.payee_id = p_line.payee_id)
        and (p_settlement.metadata = '{}'
            or payout.metadata_problem(p_settlement.metadata) is null);
    if not found then
        return payout.create_transfers(p_settlement);
    end if;

    if v_wakeup_id is null or p_settlement.pay_after is not null then
        v_wakeup_id := (payout.queue_wakeup(v_payout_job_id, 1, p_settlement.pay_after))[1];
    end if;
    -- One statement, because each further one costs its start and end.
    with job as (
        insert into payout.payout_jobs (payout_job_id, settlement_id) overriding system value
        values (v_payout_job_id, p_settlement.settlement_id)
    ), transfer as (
        insert into payout.payout_transfers (
            payout_transfer_id, payout_job_id, settlement_id, payee_id, source_transaction,
            amount_minor, currency)
        overriding system value
        values (v_transfer_id, v_payout_job_id, p_settlement.settlement_id, p_line.payee_id,
            p_line.source_transaction, p_line.amount_minor, p_settlement.currency)
    ), progress as (
        insert into payout.transfer_states (payout_transfer_id, next_attempt_at, wakeup_id)
        values (v_transfer_id, coalesce(p_settlement.pay_after, current_timestamp), v_wakeup_id)
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    values (v_transfer_id, 'obligation', 1, 'settlement_funds', 'payable:' || p_line.payee_id,
            p_line.amount_minor, p_settlement.currency),
        (v_transfer_id, 'reserve', 1, 'payable:' || p_line.payee_id, 'in_flight',
            p_line.amount_minor, p_settlement.currency);
    return v_payout_job_id;
end
$$;
comment on function payout.schedule_payout_job(
    text, payout.settlements, payout.settlement_lines
) is
    'Schedules the payouts of a complete settlement and returns its payout_job_id; repeatable. '
    'Refuses one that cannot be paid out as it stands (SP301, SP303, SP305, SP306, SP308).';
-- frozen: procedures/settle/settlement_difference.sql 6f827e0a15b1
create or replace function payout.settlement_difference(
    p_settlement payout.settlements,
    p_currency text,
    p_lines jsonb,
    p_pay_after timestamptz,
    p_metadata jsonb
)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select concat_ws(', ',
        case when p_settlement.currency <> p_currency then 'currency' end,
        case when p_settlement.pay_after is distinct from p_pay_after then 'pay_after' end,
        case when p_settlement.metadata <> p_metadata then 'metadata' end,
        (
            select 'line ' || coalesce(o.line_id, n.line_id)
            from (
                select l.line_id, l.payee_id, l.amount_minor, l.source_transaction
                from payout.settlement_lines as l
                where l.settlement_id = p_settlement.settlement_id
            ) as o
            full join jsonb_to_recordset(p_lines) as n (
                line_id text, payee_id text, amount_minor bigint, source_transaction text
            ) on n.line_id = o.line_id
            where (o.payee_id, o.amount_minor, o.source_transaction)
                is distinct from (n.payee_id, n.amount_minor, n.source_transaction)
            order by coalesce(o.line_id, n.line_id)
            limit 1
        ))
$$;
comment on function payout.settlement_difference(
    payout.settlements, text, jsonb, timestamptz, jsonb
) is 'Names the parts that differ, for lines the first one; empty when nothing differs.';
-- frozen: procedures/settle/settlement_problem.sql 40c714783270
create or replace function payout.settlement_problem(p_settlement payout.settlements)
returns table (code text, problem text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with owed as (
        select l.payee_id, min(l.line_id) as line_id, sum(l.amount_minor) as amount_minor
        from payout.settlement_lines as l
        where l.settlement_id = p_settlement.settlement_id
        group by l.payee_id, l.source_transaction
    )
    select w.code, w.problem, w.hint
    from (
        select 1, null, 'SP305', format(': currency %s is not supported', p_settlement.currency),
            'payout.currencies lists those that Stripe transfers; an operator adds one that is '
            'missing: payout_api.add_currency.'
        where not exists (
            select from payout.currencies as c where c.currency = p_settlement.currency
        )
        union all
        select 2, null, 'SP308', ': metadata ' || m.problem,
            'Stripe takes 50 keys of 40 characters, text values of 500; four are ours.'
        from payout.metadata_problem(p_settlement.metadata) as m (problem)
        where m.problem is not null
        union all
        select 3, null, 'SP303', format(': lines add up to %s, total_minor is %s, difference %s',
                s.lines_minor, p_settlement.total_minor, p_settlement.total_minor - s.lines_minor),
            'At commit total_minor is what all lines add up to: insert all, or correct it.'
        from (select coalesce(sum(o.amount_minor), 0) from owed as o) as s (lines_minor)
        where s.lines_minor <> p_settlement.total_minor
        union all
        select 4, o.line_id, 'SP301',
            format(', line %s: payee %s is unknown', o.line_id, o.payee_id),
            'Call payout_api.register_payee first, also for a payee without an account yet; or '
            'pass p_register_payees => true to payout_api.complete_settlement.'
        from owed as o
        where not exists (select from payout.payees as p where p.payee_id = o.payee_id)
        union all
        select 5, o.payee_id, 'SP306',
            format(', payee %s: %s is not a multiple of %s as Stripe asks for %s', o.payee_id,
                o.amount_minor, c.amount_step, c.currency),
            'payout.currencies.amount_step says which amounts a currency knows.'
        from owed as o
        join payout.currencies as c on c.currency = p_settlement.currency
        where o.amount_minor % c.amount_step <> 0
        union all
        select 6, null, 'SP402', ': payees or currencies changed while it was scheduled',
            'Repeat the transaction.'
    ) as w (place, name, code, problem, hint)
    order by w.place, w.name, w.code
    limit 1
$$;
comment on function payout.settlement_problem(payout.settlements) is
    'SQLSTATE, message after the settlement''s name, and hint of the first reason for which it '
    'cannot be paid out; SP402 if there is none by now.';
-- frozen: procedures/report/absence_counts_from.sql 11cb69fc206e
create or replace function payout.absence_counts_from(p_payout_transfer_id bigint)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select payout.sends_over_at(p_payout_transfer_id)
    where not payout.was_seen_at_stripe(p_payout_transfer_id)
        and not exists (
            select from payout.transfer_observations as o
            join payout.stripe_error_rules as r on r.error_code = o.error_code
            where o.payout_transfer_id = p_payout_transfer_id
                and r.reason = 'stripe_may_execute_later'
        )
$$;
comment on function payout.absence_counts_from(bigint) is
    'The time at which everything that was ever sent for a transfer is over; null: it cannot be '
    'known.';
-- frozen: procedures/report/act_problem.sql f7625423aad1
create or replace function payout.act_problem(
    p_signal text,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_state text := p_state.state::text;
    v_wait payout.holds := payout.wait_of(p_state, p_transfer);
begin
    if (p_signal, v_state) in (
            ('cancel', 'cancelled'), ('settle_outside', 'settled_outside'), ('park', 'parked'))
        or (p_signal = 'retry' and v_state in ('scheduled', 'retry_wait', 'unknown')
            and p_state.next_attempt_at <= payout.clock() and v_wait.hold_id is null) then
        return 'already';
    elsif v_state in ('paid', 'cancelled', 'settled_outside') then
        return format('it is %s: nothing is owed', replace(v_state, '_', ' '));
    elsif v_state = 'in_flight' then
        return 'a worker is sending it: wait for the answer, or for the end of its lease';
    end if;

    return case p_signal
        when 'park' then case when v_state not in ('retry_wait', 'unknown')
            then format('it is %s and not being sent: hold keeps it from being sent', v_state) end
        when 'give_up' then case when v_state <> 'parked'
            then format('it is %s: only a parked one is given up', v_state) end
        when 'retry' then case
            when payout.progress_problem(p_state) is not null
                then 'its row breaks a rule: correct it first (docs/restore.md)'
            when v_state = 'scheduled' and p_state.next_attempt_at is null
                then 'it goes out by itself when the payee has an account: register_payee'
            when v_state = 'scheduled' and (
                select m.pay_after > payout.clock()
                from payout.settlements as m
                where m.settlement_id = p_transfer.settlement_id)
                then 'its settlement is not to be paid before pay_after'
            when v_wait.awaits = 'account_change' then format(
                'its payee''s account was changed, so it waits until %s; release_hold(%s, …) ends '
                'that', date_trunc('second', v_wait.goes_on_at), v_wait.hold_id)
            when v_wait.awaits = 'cap' then 'it is over a cap: set_cap raises it' || case
                when v_wait.goes_on_at is null
                    then format('; release_hold(%s, …) lets this one pass', v_wait.hold_id)
                else '' end
            when v_state = 'failed' and payout.counted_keys(p_state) >= p_settings.max_generations
                then 'its keys are used up: change_setting(''max_generations'', …) allows more'
            when v_state = 'failed' and payout.was_seen_at_stripe(p_state.payout_transfer_id)
                then 'Stripe has shown a transfer of it: settle_outside with that tr_ id'
        end
        else case
            when v_state not in ('scheduled', 'failed')
                then 'it may be at Stripe: retry has it looked up there, and goes on by the result'
            when (v_state <> 'failed' or not payout.was_seen_at_stripe(p_state.payout_transfer_id))
                and exists (select from payout.listed_transfers as l
                    where l.payout_ref = p_transfer.payout_ref)
                then 'Stripe lists a transfer of it: ' || case v_state when 'scheduled'
                    then 'the next sweep judges that one' else 'retry has it looked up' end
            when p_signal = 'cancel' and v_state = 'failed'
                and payout.was_seen_since_given_up(p_state)
                then 'Stripe has shown a transfer of it: settle_outside with that tr_ id'
            else 'it may be at Stripe: a look at its list has to find nothing first, after '
                || date_trunc('second', payout.look_awaited_from(p_state))
                || '; this call plans it, and hold keeps it from being sent meanwhile'
        end
    end;
end
$$;
comment on function payout.act_problem(
    text, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is 'A sentence, or already; null: it can be done.';
-- frozen: procedures/report/counted_keys.sql 09a7955de38a
create or replace function payout.counted_keys(p_state payout.transfer_states)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select p_state.generation - count(*)::integer
    from payout.transfer_observations as o
    join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.moved_to = 'failed'
        and r.awaits = 'funds'
$$;
comment on function payout.counted_keys(payout.transfer_states) is
    'Keys of a transfer so far, those left out that were declined for lack of funds.';
-- frozen: procedures/report/end_of_key.sql b30f4f97aac9
create or replace function payout.end_of_key(p_state payout.transfer_states)
returns payout.transfer_observations
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select o
    from payout.transfer_observations as o
    where o.payout_transfer_id = p_state.payout_transfer_id
        and o.generation = p_state.generation
        and o.signal in ('response', 'give_up', 'looked_up')
        and o.verdict = 'ok'
        and o.moved_to = 'failed'
    order by o.observation_id desc
    limit 1
$$;
comment on function payout.end_of_key(payout.transfer_states) is
    'The accepted decline, act or proof; null: there is none.';
-- frozen: procedures/report/evidence_for_new_key.sql bdb061c7b3e0
create or replace function payout.evidence_for_new_key(p_state payout.transfer_states)
returns bigint[]
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when d.signal = 'looked_up' then array_remove(
            array[(d.facts ->> 'first_absence_id')::bigint, d.observation_id], null)
        else (
            select array[d.observation_id, max(o.observation_id)]
            from payout.transfer_observations as o
            join payout.stripe_reads as r on r.read_id = (o.facts ->> 'read_id')::bigint
            where o.payout_transfer_id = d.payout_transfer_id
                and o.generation = d.generation
                and o.signal = 'looked_up'
                and o.verdict = 'ok'
                and o.facts ->> 'found' = '0'
                and r.begun_at >= case
                    when payout.is_saved(
                        (d.facts ->> 'is_tied')::boolean, d.is_replayed, d.facts ->> 'should_retry')
                        then d.observed_at
                    else greatest(
                        d.observed_at, payout.sends_over_at(d.payout_transfer_id))
                end
            having count(*) > 0
        )
    end
    from payout.end_of_key(p_state) as d
$$;
comment on function payout.evidence_for_new_key(payout.transfer_states) is
    'Ids of the end of the key and of the look after it, or of the scans that prove absence; null: '
    'there is no evidence yet.';
-- frozen: procedures/report/forgotten_sends_last.sql 2a45c2425bef
create or replace function payout.forgotten_sends_last(p_settings payout.engine_settings)
returns interval
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    return p_settings.send_window_for + p_settings.lease_for + p_settings.attempt_drain_for
        + p_settings.indeterminate_for;
end
$$;
comment on function payout.forgotten_sends_last(payout.engine_settings) is
    'The time after a transfer was due from which a look at Stripe''s list shows whether it was '
    'sent, though nothing here says so.';
-- frozen: procedures/report/forgotten_sends_over_at.sql 82b77af35074
create or replace function payout.forgotten_sends_over_at(p_payout_transfer_id bigint)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(a.recorded_at) + e.lease_for + e.attempt_drain_for + e.indeterminate_for
    from payout.adoptions as a
    cross join payout.engine_settings as e
    where a.system_identifier is not null
        and not a.is_installation
        and not a.is_first_claim
        and a.recorded_at > (
            select min(t.claimed_at)
            from payout.transfer_attempts as t
            where t.payout_transfer_id = p_payout_transfer_id)
    group by e.lease_for, e.attempt_drain_for, e.indeterminate_for
$$;
comment on function payout.forgotten_sends_over_at(bigint) is
    'A day and more after the newest adoption; null: it was first sent since, or there was none.';
-- frozen: procedures/report/is_definite.sql 7033341f3455
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
-- frozen: procedures/report/is_only_send.sql c90d0fa37b59
create or replace function payout.is_only_send(p_state payout.transfer_states)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select not p_state.has_unknown_send and not exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_state.payout_transfer_id
            and o.generation = p_state.generation
            and o.attempt <> p_state.attempt
            and o.signal in ('response', 'unreadable', 'no_response', 'lease_expired')
            and (o.http_status in (401, 403, 429)
                or (o.http_status between 400 and 499 and o.http_status <> 409
                    and (o.facts ->> 'is_tied')::boolean)) is not true
    )
$$;
comment on function payout.is_only_send(payout.transfer_states) is
    'True when no attempt but the newest can have had an effect under the current key.';
-- frozen: procedures/report/is_saved.sql d7e066b20c3d
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
-- frozen: procedures/report/judge_absence.sql ebfe4b3e5a60
create or replace function payout.judge_absence(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
    v_looked_at timestamptz := (
        select r.begun_at from payout.stripe_reads as r where r.read_id = p_outcome.read_id);
    v_never_left boolean := payout.never_left(p_state.payout_transfer_id, v_looked_at);
begin
    v_judgement.verdict := case
        when p_state.state in ('parked', 'failed', 'scheduled') then 'ok' else 'stale' end;
    v_judgement.reason := 'absent_at_stripe';
    if p_state.state = 'scheduled'
        and v_looked_at >= p_state.next_attempt_at + payout.forgotten_sends_last(p_settings) then
        v_judgement.to_state := 'scheduled';
        v_judgement.next_attempt_at := payout.clock();
        return v_judgement;
    end if;
    if p_state.state <> 'parked'
        or (p_outcome.first_absence_id is null and not v_never_left) then
        return v_judgement;
    end if;

    if v_never_left or p_transfer.amount_minor <= p_settings.approval_limit_minor or exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_state.payout_transfer_id
            and o.generation = p_state.generation
            and o.signal = 'approve_absence'
            and o.verdict = 'ok'
    ) then
        v_judgement.to_state := 'failed';
        v_judgement.error_rule_id := 61;
        if payout.counted_keys(p_state) < p_settings.max_generations then
            v_judgement.next_attempt_at := payout.clock();
        else
            v_judgement.reason := 'keys_used_up_absent_at_stripe';
            v_judgement.is_alarm := true;
        end if;
    elsif p_state.reason <> 'absence_awaits_approval' then
        v_judgement.to_state := 'parked';
        v_judgement.error_rule_id := 60;
        v_judgement.reason := 'absence_awaits_approval';
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_absence(
    payout.outcome, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is
    'Judges a look-up that found nothing: evidence only, or proof, or none needed; then failed '
    'with a new key at once, or parked for approval.';
-- frozen: procedures/report/judge_act.sql 726de766fa0c
create or replace function payout.judge_act(
    p_signal text,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
    -- Who approves an absence proves nothing: the engine looks once more, and only then gives up.
    v_signal text := case p_signal when 'approve_absence' then 'retry' else p_signal end;
    v_refused text := coalesce(
        payout.act_problem(v_signal, p_state, p_transfer, p_settings),
        case when p_signal = 'approve_absence'
            and p_state.reason is distinct from 'absence_awaits_approval'
            then 'no absence of it awaits an approval' end);
begin
    if v_refused is not null then
        v_judgement.verdict := case v_refused when 'already' then 'already' else 'stale' end;
        v_judgement.reason := v_refused;
        return v_judgement;
    end if;

    v_judgement.verdict := 'ok';
    v_judgement.reason := p_state.reason;
    case v_signal
        when 'cancel' then
            v_judgement.to_state := 'cancelled';
            v_judgement.reason := 'cancelled_by_operator';
        when 'settle_outside' then
            v_judgement.to_state := 'settled_outside';
            v_judgement.reason := 'paid_in_another_way';
        when 'park' then
            v_judgement.to_state := 'parked';
            v_judgement.reason := 'parked_by_operator';
        when 'give_up' then
            v_judgement.to_state := 'failed';
            v_judgement.reason := 'given_up_by_operators';
            v_judgement.next_attempt_at := payout.clock();
        when 'retry' then
            -- A parked transfer is only looked up, by the date that retry gives it.
            if p_state.state <> 'parked' then
                v_judgement.to_state := p_state.state;
                v_judgement.next_attempt_at := least(p_state.next_attempt_at, payout.clock());
            end if;
    end case;
    return v_judgement;
end
$$;
comment on function payout.judge_act(
    text, payout.transfer_states, payout.payout_transfers, payout.engine_settings
) is 'The move that the act makes; already; or stale, with the sentence that says why not.';
-- frozen: procedures/report/judge_decline.sql 2ff0704548d9
create or replace function payout.judge_decline(
    p_judgement payout.judgement,
    p_is_saved boolean,
    p_rule payout.stripe_error_rules,
    p_state payout.transfer_states,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement := p_judgement;
    v_others_drain_at timestamptz := payout.other_attempts_drain_at(p_state);
    v_may_have_another_key boolean := coalesce(p_rule.awaits = 'funds'
        or p_rule.awaits = 'account'
            and payout.counted_keys(p_state) < p_settings.max_generations, false);
begin
    if v_others_drain_at > payout.clock() then
        v_judgement.to_state := 'unknown';
        v_judgement.reason := 'declined_while_another_attempt_is_open';
        v_judgement.next_attempt_at := v_others_drain_at;
        return v_judgement;
    end if;

    if not p_is_saved and not payout.is_only_send(p_state) then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        return v_judgement;
    end if;

    v_judgement.to_state := 'failed';
    v_judgement.next_attempt_at := case when v_may_have_another_key then payout.clock() end;
    if p_rule.awaits is not null and not v_may_have_another_key then
        v_judgement.reason := 'keys_used_up_' || p_rule.reason;
        v_judgement.is_alarm := true;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_decline(
    payout.judgement, boolean, payout.stripe_error_rules, payout.transfer_states,
    payout.engine_settings
) is 'Failed, with or without a later key; unknown while another attempt is open; parked in doubt.';
-- frozen: procedures/report/judge_expiry.sql c5f434c0b929
create or replace function payout.judge_expiry(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
    v_rule payout.stripe_error_rules := payout.match_error_rule(p_outcome);
    v_is_lease boolean := p_outcome.signal = 'lease_expired';
begin
    v_judgement.verdict := 'ok';
    v_judgement.to_state := 'parked';
    v_judgement.reason := coalesce(v_rule.reason, p_outcome.signal);
    v_judgement.error_rule_id := v_rule.error_rule_id;
    v_judgement.counts_as_try := v_is_lease;
    v_judgement.leaves_unknown := v_is_lease;
    v_judgement.is_alarm := v_rule.is_alarm;

    if coalesce(p_state.lease_until, p_state.window_begins_at) > payout.clock() then
        v_judgement.reason := 'clock_was_set_back';
    elsif v_is_lease and p_state.tries + 1 >= p_settings.max_tries then
        v_judgement.reason := 'tries_used_up_' || v_judgement.reason;
    elsif v_is_lease then
        v_judgement.to_state := 'unknown';
        v_judgement.next_attempt_at := payout.clock();
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_expiry(
    payout.outcome, payout.transfer_states, payout.engine_settings
) is
    'Judges an expired lease: unknown and due at once, or parked when the tries are used up; and '
    'an expired key: parked.';
-- frozen: procedures/report/judge_failure.sql 2c0d154ea2d7
create or replace function payout.judge_failure(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
    v_rule payout.stripe_error_rules := payout.match_error_rule(p_outcome);
    v_is_saved boolean := payout.is_saved(
        p_outcome.is_tied, p_outcome.is_replayed, p_outcome.should_retry);
    v_earlier integer;
begin
    -- Stripe names the key in each answer that got as far as the key; 401 and 403 do not.
    if not coalesce(p_outcome.is_tied, false) and (
        p_outcome.http_status between 200 and 299
        or (v_rule.reaction = 'decline' and p_outcome.http_status not in (401, 403))
    ) then
        v_rule := payout.match_error_rule(
            jsonb_populate_record(p_outcome, '{"signal": "unreadable"}'));
    end if;
    v_judgement.verdict := 'ok';
    v_judgement.error_rule_id := v_rule.error_rule_id;
    v_judgement.reason := coalesce(v_rule.reason, 'unmapped_answer');
    v_judgement.is_alarm := coalesce(v_rule.is_alarm, true);
    v_judgement.pauses_engine := case
        when v_rule.payees_to_pause is null then v_rule.reaction = 'pause'
        else v_rule.payees_to_pause <= payout.refused_payees(v_rule.error_rule_id, p_outcome)
    end;
    v_judgement.counts_as_try := coalesce(v_rule.is_counted_try, true);
    v_judgement.leaves_unknown := coalesce(v_rule.reaction in ('unknown', 'park'), true);
    v_earlier := (
        select count(*)::integer
        from payout.transfer_observations as o
        where o.payout_transfer_id = p_state.payout_transfer_id
            and o.generation = p_state.generation
            and o.error_rule_id = v_rule.error_rule_id
            and o.verdict = 'ok');
    v_judgement.next_attempt_at := payout.clock() + greatest(
        payout.backoff(
            v_rule, p_state.tries + case when v_rule.is_counted_try then 0 else v_earlier end),
        make_interval(
            secs => greatest(least(coalesce(p_outcome.retry_after_seconds, 0), 3600), 0)));

    if v_rule.reaction = 'decline' and not coalesce(v_judgement.pauses_engine, false)
        and (v_is_saved or v_rule.sends_to_believe <= 1 + v_earlier) then
        return payout.judge_decline(v_judgement, v_is_saved, v_rule, p_state, p_settings);
    elsif v_rule.reaction = 'park' then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
    elsif v_judgement.counts_as_try and p_state.tries + 1 >= p_settings.max_tries then
        v_judgement.to_state := 'parked';
        v_judgement.next_attempt_at := null;
        v_judgement.reason := 'tries_used_up_' || v_judgement.reason;
        v_judgement.is_alarm := true;
    else
        v_judgement.is_alarm := v_judgement.is_alarm
            and (v_rule.reaction is distinct from 'decline' or v_judgement.pauses_engine);
        v_judgement.to_state := case
            when v_judgement.leaves_unknown or p_state.has_unknown_send then 'unknown'
            else 'retry_wait'
        end;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_failure(
    payout.outcome, payout.transfer_states, payout.engine_settings
) is
    'Judges an outcome that is no success by payout.stripe_error_rules: retry_wait, unknown, '
    'parked, or as judge_decline says.';
-- frozen: procedures/report/judge_lookup.sql 3677b783cfe6
create or replace function payout.judge_lookup(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_destinations text[],
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    if p_outcome.found = 1 then
        v_judgement := payout.judge_success(
            p_outcome, p_state, p_transfer, p_destinations, p_settings);
        if v_judgement.to_state = 'paid' then
            v_judgement.reason := 'found_at_stripe';
        end if;
    elsif p_outcome.found = 0 then
        return payout.judge_absence(p_outcome, p_state, p_transfer, p_settings);
    elsif p_outcome.found is null then
        v_judgement.verdict := 'ok';
        v_judgement.reason := 'unreadable_at_stripe';
    elsif exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.reason = 'several_transfers_at_stripe'
            and o.facts ->> 'detail' = p_outcome.detail
    ) then
        v_judgement.verdict := 'already';
    else
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'several_transfers_at_stripe';
        v_judgement.is_alarm := true;
        -- A late first send waits for nothing else than this look.
        v_judgement.to_state := case when p_state.state = 'scheduled' then 'parked' end;
        v_judgement.leaves_unknown := p_state.state = 'scheduled';
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_lookup(
    payout.outcome, payout.transfer_states, payout.payout_transfers, text[],
    payout.engine_settings
) is
    'Judges a look-up by how many transfers it found: one by judge_success, none by judge_absence, '
    'several as an alarm; null: it cannot be told.';
-- frozen: procedures/report/judge_outcome.sql 2f1793d07bf0
create or replace function payout.judge_outcome(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_destinations text[],
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    if p_outcome.signal = 'looked_up' then
        return payout.judge_lookup(
            p_outcome, p_state, p_transfer, p_destinations, p_settings);
    elsif p_outcome.signal in ('lease_expired', 'key_expired') then
        return payout.judge_expiry(p_outcome, p_state, p_settings);
    elsif p_outcome.operator_action_id is not null then
        return payout.judge_act(p_outcome.signal, p_state, p_transfer, p_settings);
    end if;

    -- Serials are handed out again after a promotion, keys and tokens are not. Any login of
    -- payout_worker may report: only the one that claimed was told the token.
    if p_outcome.idempotency_key is distinct from
        p_transfer.payout_ref || ':' || p_outcome.generation
        or not exists (
            select from payout.transfer_attempts as a
            where a.payout_transfer_id = p_outcome.payout_transfer_id
                and a.generation = p_outcome.generation
                and a.attempt = p_outcome.attempt
                and a.claim_token_sha256 = sha256(convert_to(p_outcome.claim_token, 'UTF8'))
        ) then
        v_judgement.verdict := 'alarm';
        v_judgement.reason := 'report_of_another_claim';
        v_judgement.is_alarm := true;
        return v_judgement;
    end if;

    -- A success that names neither our key nor our transfer is the copy of another answer.
    if p_outcome.signal = 'response' and p_outcome.http_status between 200 and 299
        and (p_outcome.is_tied or p_outcome.payout_ref = p_transfer.payout_ref) then
        return payout.judge_success(
            p_outcome, p_state, p_transfer, p_destinations, p_settings);
    elsif p_state.state = 'in_flight' and p_state.attempt = p_outcome.attempt then
        return payout.judge_failure(p_outcome, p_state, p_settings);
    end if;

    v_judgement.verdict := case
        when exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = p_outcome.payout_transfer_id
                and o.attempt = p_outcome.attempt
                and o.generation = p_outcome.generation
                and o.signal = p_outcome.signal
                and o.verdict = 'ok'
        ) then 'already'
        else 'stale'
    end;
    return v_judgement;
end
$$;
comment on function payout.judge_outcome(
    payout.outcome, payout.transfer_states, payout.payout_transfers, text[],
    payout.engine_settings
) is 'Verdict, next state and reason for one outcome; changes nothing.';
-- frozen: procedures/report/judge_success.sql ff65e456df83
create or replace function payout.judge_success(
    p_outcome payout.outcome,
    p_state payout.transfer_states,
    p_transfer payout.payout_transfers,
    p_destinations text[],
    p_settings payout.engine_settings
)
returns payout.judgement
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_judgement payout.judgement;
begin
    v_judgement.reason := case
        when not coalesce(
            p_outcome.object = 'transfer'
            and p_outcome.stripe_transfer_id is not null
            and p_outcome.amount_minor = p_transfer.amount_minor
            and p_outcome.currency = p_transfer.currency
            and p_outcome.destination = any (p_destinations)
            and p_outcome.payout_ref = p_transfer.payout_ref
            and coalesce(p_outcome.belongs_to, p_transfer.payout_ref) = p_transfer.payout_ref
            and (p_outcome.source_transaction is null
                or p_outcome.source_transaction = p_transfer.source_transaction)
            and p_outcome.payout_engine = p_settings.installation_id
            and p_outcome.is_livemode is not null
            and coalesce(p_outcome.is_livemode = p_settings.is_livemode, true),
            false) then 'answer_contradicts_request'
        when p_state.stripe_transfer_id = p_outcome.stripe_transfer_id then 'known'
        when p_state.state = 'paid' then 'second_transfer_at_stripe'
        when p_outcome.generation <> p_state.generation
            or p_state.state in ('failed', 'cancelled', 'settled_outside')
            then 'success_under_closed_key'
        when exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = p_outcome.stripe_transfer_id
        ) then 'stripe_id_of_another_transfer'
    end;

    if v_judgement.reason is null then
        v_judgement.verdict := 'ok';
        v_judgement.to_state := 'paid';
    elsif v_judgement.reason = 'known' or exists (
        select from payout.transfer_observations as o
        where o.payout_transfer_id = p_outcome.payout_transfer_id
            and o.attempt = p_outcome.attempt
            and o.generation = p_outcome.generation
            and o.verdict = 'alarm'
            and o.stripe_transfer_id is not distinct from p_outcome.stripe_transfer_id
    ) then
        v_judgement.verdict := 'already';
        v_judgement.reason := null;
    else
        v_judgement.verdict := 'alarm';
        v_judgement.is_alarm := true;
        if p_state.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown') then
            v_judgement.to_state := 'parked';
            v_judgement.leaves_unknown := true;
        end if;
    end if;
    return v_judgement;
end
$$;
comment on function payout.judge_success(
    payout.outcome, payout.transfer_states, payout.payout_transfers, text[],
    payout.engine_settings
) is 'Paid, already known, or an alarm, which parks a transfer that is open.';
-- frozen: procedures/report/look_awaited_from.sql 3a3d5ab372d5
create or replace function payout.look_awaited_from(p_state payout.transfer_states)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select greatest(payout.clock(), payout.sends_over_at(p_state.payout_transfer_id))
    where p_state.state = 'failed'
        and not payout.was_seen_at_stripe(p_state.payout_transfer_id)
        and payout.evidence_for_new_key(p_state) is null
        and not exists (
            select from payout.end_of_key(p_state) as d
            where payout.is_saved(
                (d.facts ->> 'is_tied')::boolean, d.is_replayed, d.facts ->> 'should_retry')
        )
$$;
comment on function payout.look_awaited_from(payout.transfer_states) is
    'The time, now or later; null: the transfer has not failed, or no look is awaited.';
-- frozen: procedures/report/match_error_rule.sql 1405bc596046
create or replace function payout.match_error_rule(p_outcome payout.outcome)
returns payout.stripe_error_rules
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select r
    from payout.stripe_error_rules as r
    where r.signal = p_outcome.signal
        and (r.http_status_from is null
            or p_outcome.http_status between r.http_status_from and r.http_status_to)
        and (r.error_type is null or r.error_type = p_outcome.error_type)
        and (r.error_code is null or r.error_code = p_outcome.error_code)
        and (r.error_param is null or r.error_param = p_outcome.error_param)
        and (r.is_replayed is null or r.is_replayed = coalesce(p_outcome.is_replayed, false))
        and (r.should_retry is null or r.should_retry = p_outcome.should_retry)
        and (r.is_rate_limited is null
            or r.is_rate_limited = (p_outcome.rate_limited_reason is not null))
    order by r.error_rule_id
    limit 1
$$;
comment on function payout.match_error_rule(payout.outcome) is
    'The first rule in order of id that fits; the last rule of a signal fits all.';
-- frozen: procedures/report/never_left.sql c433a899514b
create or replace function payout.never_left(
    p_payout_transfer_id bigint, p_looked_at timestamptz
)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(bool_and(o.is_without_effect), false)
        and not payout.was_seen_at_stripe(p_payout_transfer_id)
        and coalesce(p_looked_at >= payout.forgotten_sends_over_at(p_payout_transfer_id), true)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    cross join lateral (
        select coalesce(bool_and(o.verdict = 'ok' and case
                when o.signal = 'not_sent' then true
                when o.http_status = 429 then a.lease_until + e.attempt_drain_for <= p_looked_at
                else false
            end), false) as is_without_effect
        from payout.transfer_observations as o
        where o.payout_transfer_id = a.payout_transfer_id
            and o.attempt = a.attempt
            and o.signal in (
                'response', 'unreadable', 'no_response', 'not_sent', 'lease_expired')
            and o.verdict <> 'already'
    ) as o
    where a.payout_transfer_id = p_payout_transfer_id
$$;
comment on function payout.never_left(bigint, timestamptz) is
    'True, as of a look at Stripe''s list, when there are attempts and none was ever executed.';
-- frozen: procedures/report/other_attempts_drain_at.sql f4c1b6f1e619
create or replace function payout.other_attempts_drain_at(p_state payout.transfer_states)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(a.lease_until + e.attempt_drain_for)
    from payout.transfer_attempts as a
    cross join payout.engine_settings as e
    where a.payout_transfer_id = p_state.payout_transfer_id
        and a.generation = p_state.generation
        and a.attempt <> p_state.attempt
        and not exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = a.payout_transfer_id
                and o.generation = a.generation
                and o.attempt = a.attempt
                and o.signal in ('response', 'unreadable', 'no_response', 'not_sent')
        )
$$;
comment on function payout.other_attempts_drain_at(payout.transfer_states) is
    'The time at which the last unreported other attempt of the current key counts as over; null: '
    'none is open.';
-- frozen: procedures/report/read_outcome.sql 5344c81a99bf
create or replace function payout.read_outcome(p_outcome jsonb)
returns payout.outcome
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_outcome payout.outcome;
    v_error jsonb;
    v_transfer payout.stripe_transfer;
begin
    v_outcome.payout_transfer_id := (p_outcome ->> 'payout_transfer_id')::bigint;
    v_outcome.generation := (p_outcome ->> 'generation')::integer;
    v_outcome.attempt := (p_outcome ->> 'attempt')::integer;
    v_outcome.idempotency_key := p_outcome ->> 'idempotency_key';
    v_outcome.claim_token := p_outcome ->> 'claim_token';
    v_outcome.signal := p_outcome ->> 'signal';
    v_outcome.detail := payout.read_text(p_outcome -> 'detail');
    v_outcome.http_status := case
        when payout.read_whole(p_outcome -> 'http_status') between 100 and 999
            then (p_outcome ->> 'http_status')::integer end;
    v_outcome.stripe_request_id := payout.read_text(p_outcome -> 'stripe_request_id');
    v_outcome.is_tied := p_outcome -> 'is_tied' = 'true';
    v_outcome.is_replayed := p_outcome -> 'is_replayed' = 'true';
    v_outcome.should_retry := payout.read_text(p_outcome -> 'should_retry');
    v_outcome.rate_limited_reason := payout.read_text(p_outcome -> 'rate_limited_reason');
    v_outcome.retry_after_seconds := payout.read_whole(p_outcome -> 'retry_after_seconds');
    if v_outcome.signal <> 'response' then
        return v_outcome;
    end if;

    v_outcome.body := p_outcome -> 'body';
    v_error := v_outcome.body -> 'error';
    v_outcome.error_type := payout.read_text(v_error -> 'type');
    v_outcome.error_code := payout.read_text(v_error -> 'code');
    v_outcome.error_message := left(v_error ->> 'message', 500);
    v_outcome.error_param := payout.read_text(v_error -> 'param');
    v_transfer := payout.read_stripe_transfer(v_outcome.body);
    v_outcome.object := v_transfer.object;
    v_outcome.stripe_transfer_id := v_transfer.stripe_transfer_id;
    v_outcome.amount_minor := v_transfer.amount_minor;
    v_outcome.amount_reversed_minor := v_transfer.amount_reversed_minor;
    v_outcome.currency := v_transfer.currency;
    v_outcome.destination := v_transfer.destination;
    v_outcome.is_livemode := v_transfer.is_livemode;
    v_outcome.payout_ref := v_transfer.payout_ref;
    v_outcome.belongs_to := v_transfer.belongs_to;
    v_outcome.source_transaction := v_transfer.source_transaction;
    v_outcome.payout_engine := v_transfer.payout_engine;
    return v_outcome;
end
$$;
comment on function payout.read_outcome(jsonb) is
    'One outcome as a row; null where a field is absent or cannot be read.';
-- frozen: procedures/report/read_outcomes.sql b42e29633404
create or replace function payout.read_outcomes(p_outcomes jsonb)
returns payout.outcome[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    if p_outcomes is null or jsonb_typeof(p_outcomes) <> 'array' then
        v_problem := 'p_outcomes is not an array';
    else
        select format('outcome %s %s', e.position, c.problem) into v_problem
        from jsonb_array_elements(p_outcomes) with ordinality as e (outcome, position)
        cross join lateral (select case
            when jsonb_typeof(e.outcome) <> 'object' then 'is not an object'
            when coalesce(e.outcome ->> 'payout_transfer_id', '') !~ '^[0-9]{1,18}$'
                then 'has no whole number payout_transfer_id'
            when coalesce(e.outcome ->> 'generation', '') !~ '^[0-9]{1,9}$'
                then 'has no whole number generation'
            when coalesce(e.outcome ->> 'attempt', '') !~ '^[0-9]{1,9}$'
                then 'has no whole number attempt'
            when coalesce(e.outcome ->> 'idempotency_key', '') = '' then 'has no idempotency_key'
            when coalesce(e.outcome ->> 'claim_token', '') = '' then 'has no claim_token'
            when coalesce(e.outcome ->> 'signal', '') not in (
                'response', 'unreadable', 'no_response', 'not_sent')
                then 'has no signal out of response, unreadable, no_response, not_sent'
        end) as c (problem)
        where c.problem is not null
        order by e.position
        limit 1;
    end if;
    if v_problem is not null then
        raise exception '%', v_problem
            using
                errcode = 'SP312',
                hint = 'The comment on type payout.outcome describes an outcome.';
    end if;

    return array(
        select payout.read_outcome(e.outcome)
        from jsonb_array_elements(p_outcomes) with ordinality as e (outcome, position)
        order by e.position);
end
$$;
comment on function payout.read_outcomes(jsonb) is
    'Reported outcomes in the order they came; SP312 when one cannot be read.';
-- frozen: procedures/report/record_outcomes.sql 018a4161f76f
create or replace function payout.record_outcomes(p_outcomes payout.outcome[])
returns setof payout.reported
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return query with judged as materialized (
        select o as outcome, j as judgement, o.*, j.*, s.generation as current_generation,
            s.state as former_state, t.amount_minor as owed_minor, t.currency as owed_currency,
            t.payee_id
        from unnest(p_outcomes) as o
        join payout.transfer_states as s on s.payout_transfer_id = o.payout_transfer_id
        join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
        cross join lateral payout.judge_outcome(
            o, s, t, payout.destinations(t, s.generation),
            (select e from payout.engine_settings as e)) as j
        order by o.payout_transfer_id
    ), observed as (
        insert into payout.transfer_observations (
            payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason,
            error_rule_id, http_status, error_type, error_code, is_replayed, stripe_transfer_id,
            stripe_request_id, facts, is_counted_try, has_unknown_send, next_attempt_at)
        select j.payout_transfer_id, j.generation, j.attempt, j.signal, j.verdict, j.to_state,
            j.reason, j.error_rule_id, j.http_status, j.error_type, j.error_code, j.is_replayed,
            j.stripe_transfer_id, j.stripe_request_id, payout.remaining_facts(j.outcome),
            coalesce(j.counts_as_try, false), coalesce(j.leaves_unknown, false), j.next_attempt_at
        from judged as j where j.reason is distinct from 'report_of_another_claim'
    ), moved as (
        update payout.transfer_states as s
        set state = j.to_state,
            lease_until = null,
            next_attempt_at = case when j.to_state <> 'paid' then j.next_attempt_at end,
            stripe_transfer_id = case when j.to_state = 'paid' then j.stripe_transfer_id end,
            tries = s.tries + coalesce(j.counts_as_try, false)::integer,
            has_unknown_send = s.has_unknown_send or coalesce(j.leaves_unknown, false),
            reason = case when j.to_state <> 'scheduled' then j.reason end,
            changed_at = payout.clock()
        from judged as j
        where s.payout_transfer_id = j.payout_transfer_id and j.to_state is not null
    ), stopped as (
        -- After an alarm no new key may be opened.
        update payout.transfer_states as s
        set next_attempt_at = null
        from judged as j where s.payout_transfer_id = j.payout_transfer_id and j.is_alarm
            and j.former_state = 'failed' and j.reason <> 'report_of_another_claim'
    ), booked as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency, operator_action_id)
        select j.payout_transfer_id, m.entry_kind, j.current_generation,
            case j.former_state when 'failed' then 'payable:' || j.payee_id else 'in_flight' end,
            coalesce(m.credit_account, 'payable:' || j.payee_id), j.owed_minor, j.owed_currency,
            case when m.entry_kind in ('cancel', 'settle_outside') then j.operator_action_id end
        from judged as j
        join payout.states as m on m.entry_kind is not null
            and m.state = j.to_state and m.state <> j.former_state
    ), notified as (
        select count(payout.raise_alarm(j.outcome, j.judgement)) as alarms
        from judged as j where j.is_alarm
    )
    select j.payout_transfer_id, j.generation, j.attempt, j.verdict,
        coalesce(j.to_state, j.former_state::text)
    from judged as j
    where (select n.alarms from notified as n) >= 0;
end
$$;
comment on function payout.record_outcomes(payout.outcome[]) is
    'Stores outcomes with their judgement, moves the transfers, books paid and released money.';
-- frozen: procedures/report/record_outcomes_apart.sql e889033dafb4
create or replace function payout.record_outcomes_apart(p_outcomes payout.outcome[])
returns setof payout.reported
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_reports payout.reported[];
    v_error text;
    v_outcome payout.outcome;
    v_half integer := cardinality(p_outcomes) / 2;
begin
    begin
        -- Rows that are returned before the statement fails would not be taken back.
        v_reports := array(select r from payout.record_outcomes(p_outcomes) as r);
    exception
        when integrity_constraint_violation or data_exception
            or sqlstate 'SP103' or sqlstate 'SP201' then
            v_error := sqlerrm;
    end;
    if v_error is null then
        return query select * from unnest(v_reports);
    elsif v_half > 0 then
        return query select * from payout.record_outcomes_apart(p_outcomes[:v_half]);
        return query select * from payout.record_outcomes_apart(p_outcomes[v_half + 1:]);
    else
        v_outcome := p_outcomes[1];
        perform payout.set_aside(v_outcome.payout_transfer_id, v_error);
        insert into payout.discrepancies (
            kind, payout_transfer_id, stripe_transfer_id, theirs, advice)
        select 'outcome_not_stored', v_outcome.payout_transfer_id, v_outcome.stripe_transfer_id,
            jsonb_strip_nulls(to_jsonb(v_outcome) - 'claim_token'),
            'Stripe answered, and the row of the transfer contradicts its facts. Look the '
            'payout_ref up at Stripe; correct the row, and the next look-up settles the '
            'transfer.'
        where v_outcome.operator_action_id is null
            and v_outcome.signal not in ('looked_up', 'lease_expired', 'key_expired');
        return query
        select s.payout_transfer_id, v_outcome.generation, v_outcome.attempt, 'alarm',
            s.state::text
        from payout.transfer_states as s
        where s.payout_transfer_id = v_outcome.payout_transfer_id;
    end if;
end
$$;
comment on function payout.record_outcomes_apart(payout.outcome[]) is
    'Verdict and state for each outcome; alarm for one that was set aside, with a discrepancy '
    'outcome_not_stored that keeps what was reported.';
-- frozen: procedures/report/record_unknown_transfers.sql 375c998a8622
create or replace function payout.record_unknown_transfers(p_outcomes payout.outcome[])
returns setof payout.reported
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.discrepancies (kind, stripe_transfer_id, theirs, advice)
    select 'report_of_unknown_transfer', o.stripe_transfer_id,
        jsonb_strip_nulls(to_jsonb(o) - 'claim_token'),
        'This database does not know the transfer: was it restored or promoted? Look the '
        'payout_ref up at Stripe before anything is sent.'
    from unnest(p_outcomes) as o;
    perform payout.notify_operators(
        'report_of_unknown_transfer', 'restored or promoted?', jsonb_build_object(
            'payout_transfer_ids', to_jsonb(array(
                select o.payout_transfer_id from unnest(p_outcomes) as o limit 20))));
    return query
    select o.payout_transfer_id, o.generation, o.attempt, 'alarm', null::text
    from unnest(p_outcomes) as o;
end
$$;
comment on function payout.record_unknown_transfers(payout.outcome[]) is
    'Stores outcomes of unknown transfers as discrepancies and answers alarm for each.';
-- frozen: procedures/report/refused_payees.sql 7b16a127bf37
create or replace function payout.refused_payees(
    p_error_rule_id integer, p_outcome payout.outcome
)
returns integer
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with of_worker as (
        select o.*, t.payee_id
        from payout.transfer_attempts as present
        join payout.transfer_observations as o
            on o.observation_id > (
                select max(n.observation_id) - 1000 from payout.transfer_observations as n)
        join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
            and a.attempt = o.attempt
            and a.worker = present.worker
        join payout.payout_transfers as t on t.payout_transfer_id = o.payout_transfer_id
        where present.payout_transfer_id = p_outcome.payout_transfer_id
            and present.attempt = p_outcome.attempt
            and o.verdict = 'ok'
            and o.observed_at > payout.clock() - (
                select e.alarm_window_for from payout.engine_settings as e)
    ), refused as (
        select w.payee_id, min(w.observation_id) as observation_id
        from of_worker as w
        where w.error_rule_id = p_error_rule_id
        group by w.payee_id
        union all
        select t.payee_id, null
        from payout.payout_transfers as t
        where t.payout_transfer_id = p_outcome.payout_transfer_id
            and t.payee_id not in (
                select w.payee_id from of_worker as w where w.error_rule_id = p_error_rule_id)
    )
    select count(*)::integer
    from refused as r
    where not exists (
            select
            from of_worker as w
            where w.signal = 'response'
                and w.moved_to = 'paid'
                and w.observation_id > r.observation_id)
        and r.payee_id::text not in (select h from payout.held('payee', 'account') as h)
$$;
comment on function payout.refused_payees(integer, payout.outcome) is
    'The number of payees whose transfers met this error rule at the same worker within '
    'engine_settings.alarm_window_for, first since it last paid, and that do not wait for their '
    'accounts; that of the outcome included.';
-- frozen: procedures/report/remaining_facts.sql 1ee375e85e5f
create or replace function payout.remaining_facts(p_outcome payout.outcome)
returns jsonb
language plpgsql
immutable
set search_path = pg_catalog, pg_temp
as $$
begin
    -- Not made into jsonb only to be left out.
    p_outcome.body := null;
    return jsonb_strip_nulls(to_jsonb(p_outcome) - array[
        'payout_transfer_id', 'generation', 'attempt', 'idempotency_key', 'claim_token', 'signal',
        'http_status', 'payout_engine', 'belongs_to', 'source_transaction', 'error_type',
        'error_code', 'is_replayed', 'stripe_transfer_id', 'stripe_request_id']);
end
$$;
comment on function payout.remaining_facts(payout.outcome) is
    'The JSON for transfer_observations.facts; absent parts are left out.';
-- frozen: procedures/report/report_outcomes.sql ce174a1404fd
create or replace function payout_api.report_outcomes(p_outcomes jsonb)
returns setof payout.reported
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_turns bigint[];
    v_known_ids bigint[];
    v_reports payout.reported[] := '{}'::payout.reported[];
    v_outcomes payout.outcome[] := payout.read_outcomes(p_outcomes);
begin
    v_known_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (array(
            select o.payout_transfer_id from unnest(v_outcomes) as o))
        order by s.payout_transfer_id
        for update);

    -- Two outcomes of one transfer are judged one after the other.
    v_turns := array(
        select row_number() over (partition by o.payout_transfer_id order by o.ordinality)
        from unnest(v_outcomes) with ordinality as o
        order by o.ordinality);

    for v_turn in 1 .. (
        select coalesce(max(t.turn), 0)::integer from unnest(v_turns) as t (turn)
    ) loop
        v_reports := v_reports || array(
            select r
            from payout.record_outcomes_apart(array(
                select v_outcomes[i]
                from generate_subscripts(v_outcomes, 1) as i
                where v_turns[i] = v_turn
                    and (v_outcomes[i]).payout_transfer_id = any (v_known_ids))) as r);
    end loop;
    return query select * from unnest(v_reports);

    if exists (
        select from unnest(v_outcomes) as o where o.http_status between 400 and 499
    ) then
        begin
            -- Of the others nothing new was stored: their newest outcome is an old one.
            perform payout.slow_down(array(
                select r.payout_transfer_id from unnest(v_reports) as r where r.verdict = 'ok'));
        exception
            when integrity_constraint_violation or data_exception
                or sqlstate 'SP103' or sqlstate 'SP201' then
                -- What Stripe answered is kept; the next decline begins the wait.
                perform payout.notify_operators('no_wait_was_begun', sqlerrm);
        end;
    end if;
    if exists (
        select from unnest(v_outcomes) as o where o.payout_transfer_id <> all (v_known_ids)
    ) then
        return query
        select * from payout.record_unknown_transfers(array(
            select v_outcomes[i]
            from generate_subscripts(v_outcomes, 1) as i
            where (v_outcomes[i]).payout_transfer_id <> all (v_known_ids)));
    end if;
end
$$;
comment on function payout_api.report_outcomes(jsonb) is
    'Takes an array of payout.outcome objects, stores every one, and answers ok, already, stale or '
    'alarm and the state for each.';
grant execute on function payout_api.report_outcomes(jsonb) to payout_worker;
-- frozen: procedures/report/sends_over_at.sql 57ccb0d9716a
create or replace function payout.sends_over_at(p_payout_transfer_id bigint)
returns timestamptz
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select max(w.over_at)
    from (
        select a.lease_until + e.attempt_drain_for
            + case when payout.is_definite(a) then interval '0' else e.indeterminate_for end
        from payout.transfer_attempts as a
        cross join payout.engine_settings as e
        where a.payout_transfer_id = p_payout_transfer_id
        union all
        select o.observed_at + e.lease_for + e.attempt_drain_for + e.indeterminate_for
        from payout.transfer_observations as o
        cross join payout.engine_settings as e
        where o.payout_transfer_id = p_payout_transfer_id
            and o.moved_to = 'parked'
            and o.signal <> 'looked_up'
            and not exists (
                select from payout.transfer_attempts as a
                where a.payout_transfer_id = p_payout_transfer_id
            )
        union all
        select payout.forgotten_sends_over_at(p_payout_transfer_id)
    ) as w (over_at)
$$;
comment on function payout.sends_over_at(bigint) is
    'The time, also for what Stripe may execute later; null: it was never sent, nor parked.';
-- frozen: procedures/report/slow_down.sql a00f1233d8d9
create or replace function payout.slow_down(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_refusal record;
    v_hold_id bigint;
begin
    -- The last row, of no wait, is that of refusals for the rate.
    for v_refusal in
        select w.awaits, w.subject, min(r.reason) as reason, max(a.claimed_at) as claimed_at,
            array_agg(t.payout_transfer_id order by t.payout_transfer_id) as ids
        from payout.payout_transfers as t
        cross join lateral (
            select n.*
            from payout.transfer_observations as n
            where n.payout_transfer_id = t.payout_transfer_id
            order by n.observation_id desc
            limit 1
        ) as o
        join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
        join payout.transfer_attempts as a on a.payout_transfer_id = o.payout_transfer_id
            and a.attempt = o.attempt
        cross join lateral (
            select r.awaits,
                case r.awaits when 'funds' then t.currency when 'account' then t.payee_id end
        ) as w (awaits, subject)
        where t.payout_transfer_id = any (p_payout_transfer_ids)
            and o.verdict = 'ok'
            -- A limit of one object at Stripe is not one of the fleet.
            and case when r.awaits is not null then o.moved_to = 'failed'
                else r.reason = 'rate_limited' and o.facts ->> 'rate_limited_reason'
                    is distinct from 'resource-specific' end
        group by w.awaits, w.subject
        order by w.awaits nulls last, w.subject
    loop
        if v_refusal.awaits is null then
            perform payout.lower_pace('sends', v_refusal.claimed_at);
            continue;
        end if;
        v_hold_id := payout.begin_wait(
            case v_refusal.awaits when 'funds' then 'currency' else 'payee' end,
            v_refusal.subject, v_refusal.reason, v_refusal.awaits,
            payout.clock() + payout.next_round(v_refusal.awaits, 0),
            v_refusal.awaits = 'funds');
        -- Beside the end of the wait it is tried again as if there were none.
        continue when v_hold_id is null;
        update payout.transfer_states as s
        set hold_id = v_hold_id,
            next_lookup_at = null
        where s.payout_transfer_id = any (v_refusal.ids)
            and s.state = 'failed'
            and s.next_attempt_at is not null
            and payout.progress_problem(s) is null;
    end loop;
end
$$;
comment on function payout.slow_down(bigint[]) is
    'Begins the waits, and lowers the pace, that the newest outcomes of these transfers call for.';
-- frozen: procedures/report/was_seen_at_stripe.sql 906a828570d9
create or replace function payout.was_seen_at_stripe(p_payout_transfer_id bigint)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select exists (
        select from payout_api.seen_at_stripe as o
        where o.payout_transfer_id = p_payout_transfer_id
    )
$$;
comment on function payout.was_seen_at_stripe(bigint) is
    'True once an observation of the transfer, accepted or not, tells of it at Stripe.';
-- frozen: procedures/report/was_seen_since_given_up.sql bfe671e14637
create or replace function payout.was_seen_since_given_up(p_state payout.transfer_states)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select payout.was_seen_at_stripe(p_state.payout_transfer_id)
        and (p_state.reason is distinct from 'given_up_by_operators' or exists (
            select from payout.transfer_observations as o
            where o.payout_transfer_id = p_state.payout_transfer_id
                and o.verdict = 'alarm'
                and o.observation_id > (payout.end_of_key(p_state)).observation_id))
$$;
comment on function payout.was_seen_since_given_up(payout.transfer_states) is
    'True once it was seen; after two people gave it up, once an alarm tells of it again.';
-- frozen: procedures/reconcile/begin_due_reads.sql 608806af3836
create or replace function payout.begin_due_reads(p_kind text, p_worker text, p_limit integer)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_ids bigint[];
begin
    with parked as (
        update payout.transfer_states as s
        set next_lookup_at = v_now + interval '10 minutes'
        where s.payout_transfer_id = any (array(
            select d.payout_transfer_id
            from payout.transfer_states as d
            join payout.payout_transfers as t on t.payout_transfer_id = d.payout_transfer_id
            where p_kind = 'lookup'
                and d.next_lookup_at <= v_now
                and payout.progress_problem(d) is null
            order by d.next_lookup_at
            limit p_limit
            for update of d skip locked
            for key share of t skip locked))
        returning s.payout_transfer_id
    ), reversed as (
        update payout.reversed_transfers as r
        set next_lookup_at = v_now + interval '10 minutes'
        where r.stripe_transfer_id = any (array(
            select d.stripe_transfer_id
            from payout.reversed_transfers as d
            where p_kind = 'reversals'
                and d.next_lookup_at <= v_now
                and exists (
                    select from payout.transfer_states as s
                    where s.stripe_transfer_id = d.stripe_transfer_id
                )
            order by d.next_lookup_at
            limit p_limit
            for update skip locked))
        returning r.stripe_transfer_id
    ), begun as (
        insert into payout.stripe_reads (
            kind, path, queries, next_parameters, payout_transfer_id, stripe_transfer_id, worker,
            begun_at, adoption_id)
        select p_kind, q.path, q.queries, q.queries -> 0, q.payout_transfer_id,
            q.stripe_transfer_id, p_worker, v_now,
            (select max(a.adoption_id) from payout.adoptions as a)
        from (
            select '/v1/transfers', payout.lookup_queries(t), t.payout_transfer_id, null
            from parked as p
            join payout.payout_transfers as t on t.payout_transfer_id = p.payout_transfer_id
            union all
            select format('/v1/transfers/%s/reversals', r.stripe_transfer_id), '[{}]', null,
                r.stripe_transfer_id
            from reversed as r
        ) as q (path, queries, payout_transfer_id, stripe_transfer_id)
        returning read_id
    )
    select coalesce(array_agg(b.read_id order by b.read_id), '{}') into v_ids from begun as b;
    return v_ids;
end
$$;
comment on function payout.begin_due_reads(text, text, integer) is
    'Begins up to p_limit reads of kind lookup or reversals and returns them.';
-- frozen: procedures/reconcile/begin_list.sql efefc281bb10
create or replace function payout.begin_list(p_kind text, p_worker text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
    v_last payout.stripe_reads := payout.newest_read(p_kind);
    v_overlap interval := case p_kind
        when 'newest' then interval '1 hour' else interval '1 day' end;
    v_books_from timestamptz;
    v_query jsonb := case p_kind
        when 'events' then '{"types": ["transfer.reversed"]}'::jsonb else '{}'::jsonb end;
begin
    -- A rule that has ended may have hidden any of them.
    if v_last.newest_created_at is not null and not exists (
        select from payout.not_ours_rules as r
        where p_kind = 'comparison' and r.ended_at > v_last.begun_at
    ) then
        v_query := v_query || jsonb_build_object('created', jsonb_build_object('gte', greatest(0,
            floor(extract(epoch from v_last.newest_created_at - v_overlap)))));
    end if;
    if p_kind = 'comparison' then
        v_books_from := coalesce(v_last.begun_at - interval '1 day', to_timestamp(0));
    end if;

    insert into payout.stripe_reads (
        kind, path, queries, next_parameters, worker, begun_at, books_from, adoption_id,
        newest_created_at, objects_expected)
    values (
        p_kind, case p_kind when 'events' then '/v1/events' else '/v1/transfers' end,
        jsonb_build_array(v_query), v_query, p_worker, v_now, v_books_from,
        (select max(o.adoption_id) from payout.adoptions as o), v_last.newest_created_at, (
            select count(*)
            from (
                -- Kept apart by the offset, so that it is read by its ids.
                select l.* from payout.ledger_entries as l
                where l.ledger_entry_id >= payout.first_entry_id(v_books_from)
                offset 0
            ) as e
            where e.kind = 'paid' and e.created_at >= v_books_from and e.created_at < v_now))
    on conflict do nothing;
end
$$;
comment on function payout.begin_list(text, text) is
    'Begins a read, unless one is open.';
-- frozen: procedures/reconcile/book_reversals.sql 91821f40d411
create or replace function payout.book_reversals(
    p_transfer payout.payout_transfers, p_reversals jsonb
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_booked integer;
begin
    with booked as (
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency, stripe_reversal_id)
        select p_transfer.payout_transfer_id, 'reversal', s.generation, 'stripe_balance',
            'payable:' || p_transfer.payee_id, (r.reversal ->> 'amount')::bigint,
            p_transfer.currency, r.reversal ->> 'id'
        from jsonb_array_elements(p_reversals) with ordinality as r (reversal, position)
        join payout.transfer_states as s on s.payout_transfer_id = p_transfer.payout_transfer_id
        order by r.position desc
        on conflict (stripe_reversal_id) where stripe_reversal_id is not null do nothing
        returning payout_transfer_id, ledger_entry_id
    )
    insert into payout.open_reversals (payout_transfer_id, ledger_entry_id)
    select b.payout_transfer_id, b.ledger_entry_id from booked as b;
    get diagnostics v_booked = row_count;

    if v_booked > 0 then
        insert into payout.outcomes (
            payout_transfer_id, status, stripe_transfer_id, reversed_minor)
        select s.payout_transfer_id, 'paid', s.stripe_transfer_id, sum(e.amount_minor)::bigint
        from payout.transfer_states as s
        join payout.ledger_entries as e on e.payout_transfer_id = s.payout_transfer_id
            and e.kind = 'reversal'
        where s.payout_transfer_id = p_transfer.payout_transfer_id
        group by s.payout_transfer_id, s.stripe_transfer_id;
        perform payout.notify_application();
    end if;
    return v_booked;
end
$$;
comment on function payout.book_reversals(payout.payout_transfers, jsonb) is
    'Books reversals that are not booked yet, with one outcome for all; returns their number.';
-- frozen: procedures/reconcile/claim_reads.sql ea97e7d99703
create or replace function payout_api.claim_reads(
    p_worker text,
    p_limit integer default 20,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null,
    p_kind text default null,
    p_stripe_now timestamptz default null
)
returns table (
    read_id bigint,
    kind text,
    token text,
    path text,
    parameters jsonb,
    objects_seen bigint,
    objects_expected bigint,
    read_in_seconds double precision
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    -- Lists first: their last page takes rows of transfers while it holds the read.
    v_kinds constant text[] := array['newest', 'events', 'comparison', 'lookup', 'reversals'];
    v_kind text;
    v_ids bigint[] := '{}'::bigint[];
    v_turns record;
begin
    lock table payout.adoptions in access share mode;
    perform payout.bind_stripe_account(p_stripe_account_id, p_is_livemode);
    if coalesce(btrim(p_worker), '') = '' or coalesce(p_limit, 0) not between 1 and 1000
        or p_kind <> all (v_kinds) then
        raise exception 'claim of % reads by %, of kind %', coalesce(p_limit::text, 'null'),
            coalesce(nullif(btrim(p_worker), ''), 'no worker'), coalesce(p_kind, 'any')
            using
                errcode = 'SP311',
                hint = 'Name the worker, ask for 1 to 1000 of kind newest, lookup, reversals, '
                    'events, comparison or any (null).';
    end if;

    foreach v_kind in array v_kinds loop
        continue when p_kind <> v_kind
            or cardinality(v_ids) >= p_limit
            or (v_kind = 'newest' and payout.is_compared(
                (select e.comparison_counts_for / 2 from payout.engine_settings as e)))
            or (v_kind = 'lookup' and payout.clock_differs(p_stripe_now));
        v_ids := v_ids || case
            when v_kind in ('lookup', 'reversals')
                then payout.begin_due_reads(v_kind, p_worker, p_limit - cardinality(v_ids))
            else array[payout.continue_list(v_kind, p_worker)]
        end;
    end loop;

    v_turns := payout.take_turns('reads', cardinality(v_ids), payout.clock());
    return query
    with claimed as materialized (
        select i.read_id, 'ct_' || replace(gen_random_uuid()::text, '-', '') as token
        from unnest(v_ids) as i (read_id)
    )
    update payout.stripe_reads as r
    set token_sha256s = (sha256(convert_to(c.token, 'UTF8')) || r.token_sha256s)[:20]
    from claimed as c
    where r.read_id = c.read_id
    returning r.read_id, r.kind, c.token, r.path, r.next_parameters, r.objects_seen,
        r.objects_expected,
        v_turns.first_seconds + v_turns.apart_seconds * (array_position(v_ids, r.read_id) - 1);
end
$$;
comment on function payout_api.claim_reads(
    text, integer, text, boolean, text, timestamptz
) is
    'Hands out up to p_limit reads, of one kind (newest, lookup, reversals, events, comparison) or '
    'of all: path and parameters of the next page, and the token without which report_page takes '
    'none; read_in_seconds is the turn of the first page, counted from before the call. The Stripe '
    'account is that of the worker''s key, p_stripe_now the time by Stripe''s Date header; no '
    'look-ups while that is far from the server''s clock.';
grant execute on function payout_api.claim_reads(
    text, integer, text, boolean, text, timestamptz
) to payout_worker;
-- frozen: procedures/reconcile/compare_listed_transfers.sql 2b177a9de99e
create or replace function payout.compare_listed_transfers(
    p_listed payout.stripe_transfer[], p_objects jsonb
)
returns payout.discrepancy[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        -- Computed for the first discrepancy, if there is any.
        with metadata as materialized (
            select o ->> 'id' as id, o -> 'metadata' as metadata
            from jsonb_array_elements(p_objects) as o
            where jsonb_typeof(o -> 'metadata') = 'object'
        )
        select row(
            k.kind, coalesce(t.payout_transfer_id, o.payout_transfer_id), l.stripe_transfer_id,
            case
                when t.payout_transfer_id is not null then payout.transfer_facts(t, e.is_livemode)
                when o.payout_transfer_id is not null then payout.transfer_facts(o, e.is_livemode)
                else '{}'
            end,
            d.theirs, payout.not_ours_rule(k.kind, d.theirs)
        )::payout.discrepancy
        from unnest(p_listed) as l
        cross join payout.engine_settings as e
        left join payout.transfer_states as s on s.stripe_transfer_id = l.stripe_transfer_id
        left join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        left join payout.payout_transfers as o
            on t.payout_transfer_id is null and o.payout_ref = l.belongs_to
        cross join lateral (select case
            when t.payout_transfer_id is not null then case
                when (l.belongs_to, l.amount_minor, l.currency, l.is_livemode) is distinct from
                    (t.payout_ref, t.amount_minor, t.currency::text, e.is_livemode)
                    or (l.destination = any (payout.destinations(t, s.generation))) is not true
                    then 'differs_at_stripe'
            end
            when o.payout_transfer_id is not null then case
                when l.amount_reversed_minor > 0 and exists (
                    select from payout.transfer_observations as x
                    where x.payout_transfer_id = o.payout_transfer_id
                        and x.moved_to = 'settled_outside'
                        and strpos(x.facts ->> 'detail', l.stripe_transfer_id) > 0
                ) then 'reversed_after_settled_outside'
            end
            when l.belongs_to is null
                or (l.payout_ref is null and l.transfer_group is distinct from l.belongs_to)
                then case
                    when coalesce(l.created_at, 'infinity') > (
                        select min(o.recorded_at) - interval '1 day' from payout.adoptions as o
                    ) then 'transfer_without_payout_ref'
                end
            else 'unknown_transfer_at_stripe'
        end) as k (kind)
        cross join lateral (
            select jsonb_strip_nulls(
                to_jsonb(l) - array['stripe_transfer_id', 'object', 'is_readable']
                || jsonb_build_object('metadata_keys', (
                    select jsonb_agg(distinct n.key order by n.key)
                    from metadata as m
                    cross join jsonb_object_keys(m.metadata) as n (key)
                    where m.id = l.stripe_transfer_id and k.kind <> 'differs_at_stripe'),
                    'reversed_minor', case when k.kind = 'reversed_after_settled_outside'
                        then l.amount_reversed_minor end))
        ) as d (theirs)
        where k.kind is not null);
end
$$;
comment on function payout.compare_listed_transfers(payout.stripe_transfer[], jsonb) is
    'A listed transfer differs from the one paid here, has no payout_ref, or is unknown here; '
    'p_objects are the objects of the page, for their metadata.';
-- frozen: procedures/reconcile/continue_list.sql f0bbe131f2c5
create or replace function payout.continue_list(p_kind text, p_worker text)
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads;
    v_newest_counts_for interval := (
        select e.comparison_counts_for / 2 from payout.engine_settings as e);
begin
    -- Another worker may finish it, or begin it first: hence a loop.
    loop
        select * into v_read
        from payout.stripe_reads as r
        where r.kind = p_kind and r.kind in ('newest', 'events', 'comparison')
            and r.finished_at is null and r.abandoned_at is null
        for update;
        exit when case p_kind
            when 'newest' then payout.is_current(v_read, v_newest_counts_for)
            else payout.is_of_this_database(v_read)
        end;
        update payout.stripe_reads as r
        set abandoned_at = payout.clock()
        where r.read_id = v_read.read_id;
        perform payout.begin_list(p_kind, p_worker);
    end loop;
    return v_read.read_id;
end
$$;
comment on function payout.continue_list(text, text) is
    'Returns the one open read of the kind; abandons one that no longer counts.';
-- frozen: procedures/reconcile/find_missing.sql 251dac599302
create or replace function payout.find_missing(p_read payout.stripe_reads)
returns setof payout.discrepancy
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = on
set enable_hashjoin = on
set enable_mergejoin = on
as $$
begin
    return query
    with seen as materialized (
        select i.stripe_transfer_id
        from payout.stripe_read_pages as p
        cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
        where p.read_id = p_read.read_id
    )
    select
        'missing_at_stripe', t.payout_transfer_id, s.stripe_transfer_id,
        payout.transfer_facts(t, c.is_livemode), '{}'::jsonb, null::bigint
    from (
        -- Kept apart by the offset, so that it is read by its ids.
        select l.* from payout.ledger_entries as l
        where l.ledger_entry_id >= payout.first_entry_id(p_read.books_from)
        offset 0
    ) as e
    join payout.transfer_states as s on s.payout_transfer_id = e.payout_transfer_id
    join payout.payout_transfers as t on t.payout_transfer_id = e.payout_transfer_id
    cross join payout.engine_settings as c
    where e.kind = 'paid'
        and e.created_at >= p_read.books_from
        and e.created_at < p_read.begun_at
        and s.state = 'paid'
        and s.window_begins_at >= p_read.books_from
        and not exists (
            select from seen as i where i.stripe_transfer_id = s.stripe_transfer_id
        );
end
$$;
comment on function payout.find_missing(payout.stripe_reads) is
    'Discrepancies at the end of a comparison, of kind missing_at_stripe.';
-- frozen: procedures/reconcile/finish_lookup.sql 0b68f70d1714
create or replace function payout.finish_lookup(p_read payout.stripe_reads)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads := p_read;
    v_state payout.transfer_states;
    v_outcome payout.outcome;
    v_listed payout.stripe_transfer;
    v_counts_from timestamptz;
begin
    select * into strict v_state
    from payout.transfer_states as s
    where s.payout_transfer_id = p_read.payout_transfer_id
    for update;
    v_outcome := payout.lookup_outcome(p_read, v_state);
    v_listed := jsonb_populate_record(v_listed, to_jsonb(v_outcome)
        || jsonb_build_object('belongs_to', v_outcome.payout_ref));
    if v_outcome.found = 1 and v_state.state = 'scheduled' then
        perform payout.stop_beside_another(array[v_listed], p_read.read_id);
    end if;
    select format('look-up of transfer %s: %s, %s', v_state.payout_transfer_id, r.verdict, r.state),
        r.verdict = 'alarm', coalesce(v_outcome.found, 0)::bigint
    into strict v_read.result, v_read.is_alarm, v_read.objects_found
    from payout.record_outcomes_apart(array[v_outcome]) as r;

    v_counts_from := payout.absence_counts_from(v_state.payout_transfer_id);
    update payout.transfer_states as s
    set next_lookup_at = case s.state
        when 'parked' then payout.clock() + greatest(
            e.scans_apart_for,
            case
                when p_read.begun_at < v_counts_from then
                    least((payout.clock() - s.changed_at) / 4, v_counts_from - payout.clock())
                when v_counts_from is null or s.reason = 'absence_awaits_approval'
                    then (payout.clock() - s.changed_at) / 4
            end)
        when 'failed' then case
            -- A look after the decline is evidence, long after one that Stripe did not save.
            when s.next_attempt_at is not null and s.hold_id is null
                and payout.evidence_for_new_key(s) is null
                then greatest(payout.clock() + interval '10 minutes',
                    payout.sends_over_at(s.payout_transfer_id))
        end
        else case when v_outcome.found is null or p_read.begun_at < v_state.changed_at
            then s.next_lookup_at end
    end
    from payout.engine_settings as e
    where s.payout_transfer_id = v_state.payout_transfer_id
        and s.state in ('parked', 'failed', 'scheduled');

    if v_outcome.found = 1 then
        perform payout.note_reversals(array[v_listed]);
        perform payout.resolve_paid(array[v_outcome.stripe_transfer_id]);
    end if;
    return v_read;
end
$$;
comment on function payout.finish_lookup(payout.stripe_reads) is
    'Returns the read with verdict and state as its result, and the number of transfers found.';
-- frozen: procedures/reconcile/finish_read.sql 5a225b302a95
create or replace function payout.finish_read(p_read payout.stripe_reads)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads := p_read;
begin
    case p_read.kind
        when 'lookup' then v_read := payout.finish_lookup(p_read);
        when 'reversals' then v_read := payout.finish_reversals(p_read);
        when 'comparison' then
            v_read.objects_found := v_read.objects_found + payout.record_discrepancies(
                array(select d from payout.find_missing(p_read) as d), p_read.read_id);
            perform payout.resolve_compared(p_read);
            v_read.objects_found := v_read.objects_found + payout.record_listed_transfers(array(
                select l.stripe_transfer_id
                from payout.listed_transfers as l
                where not exists (
                    select from payout.transfer_states as s
                    where s.stripe_transfer_id = l.stripe_transfer_id)));
            v_read.result := concat_ws(', ',
                format('compared %s transfers of Stripe''s: %s discrepancies',
                    v_read.objects_seen, v_read.objects_found),
                (select sum(n.value::bigint) from jsonb_each_text(v_read.not_ours) as n)
                    || ' not ours');
            v_read.is_alarm := v_read.objects_found > 0;
        when 'newest' then
            v_read.result := format('compared the %s newest transfers of Stripe''s: %s '
                'discrepancies', v_read.objects_seen, v_read.objects_found);
        when 'events' then
            v_read.result := format('read %s events: %s tell of more reversed',
                v_read.objects_seen, v_read.objects_found);
    end case;
    update payout.stripe_reads as r
    set objects_found = v_read.objects_found,
        result = v_read.result,
        is_alarm = v_read.is_alarm,
        finished_at = payout.clock()
    where r.read_id = p_read.read_id
    returning * into strict v_read;
    return v_read;
end
$$;
comment on function payout.finish_read(payout.stripe_reads) is
    'Returns the read with its result, and whether that is an alarm.';
-- frozen: procedures/reconcile/finish_reversals.sql 6814cb50520c
create or replace function payout.finish_reversals(p_read payout.stripe_reads)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads := p_read;
    v_transfer payout.payout_transfers;
    v_reversals jsonb := (
        select coalesce(jsonb_agg(r.reversal order by p.page_number, r.position), '[]')
        from payout.stripe_read_pages as p
        cross join jsonb_array_elements(p.kept) with ordinality as r (reversal, position)
        where p.read_id = p_read.read_id);
    v_problem text;
    v_booked_minor bigint;
begin
    perform
    from payout.reversed_transfers as r
    where r.stripe_transfer_id = p_read.stripe_transfer_id
    for update;
    select t.* into strict v_transfer
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.stripe_transfer_id = p_read.stripe_transfer_id;

    v_problem := payout.reversals_problem(v_transfer, v_reversals);
    if v_problem is null then
        v_read.objects_found := payout.book_reversals(v_transfer, v_reversals)::bigint;
        v_problem := case when p_read.objects_seen > jsonb_array_length(v_reversals)
            then 'some cannot be read' end;
    else
        perform payout.record_discrepancies(array[row(
            'reversals_contradict_transfer', v_transfer.payout_transfer_id,
            p_read.stripe_transfer_id,
            payout.transfer_facts(
                v_transfer, (select e.is_livemode from payout.engine_settings as e)),
            jsonb_build_object('problem', v_problem, 'reversals', v_reversals), null
        )::payout.discrepancy], p_read.read_id);
    end if;

    v_booked_minor := (
        select coalesce(sum(e.amount_minor), 0)::bigint
        from payout.ledger_entries as e
        where e.payout_transfer_id = v_transfer.payout_transfer_id and e.kind = 'reversal');
    update payout.reversed_transfers as r
    set next_lookup_at = case
            when v_problem is null and v_booked_minor < r.amount_reversed_minor
                then payout.clock() + interval '10 minutes'
            -- More was reversed since it was handed out: note_reversals asked for another read.
            when r.next_lookup_at <= payout.clock() then r.next_lookup_at
            when v_booked_minor < r.amount_reversed_minor
                then payout.clock() + interval '1 day'
        end,
        amount_reversed_minor = greatest(r.amount_reversed_minor, v_booked_minor)
    where r.stripe_transfer_id = p_read.stripe_transfer_id;
    v_read.result := concat_ws(', ', format('reversals of %s: %s booked',
        p_read.stripe_transfer_id, v_read.objects_found), v_problem);
    v_read.is_alarm := v_problem is not null;
    return v_read;
end
$$;
comment on function payout.finish_reversals(payout.stripe_reads) is
    'Returns the read with its result and the number of reversals booked now.';
-- frozen: procedures/reconcile/first_absence.sql 242d0906eeb7
create or replace function payout.first_absence(p_read payout.stripe_reads)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select min(o.observation_id)
    from payout.transfer_observations as o
    join payout.stripe_reads as r on r.read_id = (o.facts ->> 'read_id')::bigint
    cross join payout.engine_settings as e
    where o.payout_transfer_id = p_read.payout_transfer_id
        and o.signal = 'looked_up'
        and o.verdict = 'ok'
        and o.facts ->> 'found' = '0'
        and r.payout_transfer_id = p_read.payout_transfer_id
        -- In a query of its own it is computed once, not for each pair of rows.
        and r.begun_at >= (select payout.absence_counts_from(p_read.payout_transfer_id))
        and greatest(o.observed_at, r.begun_at) <= p_read.begun_at - e.scans_apart_for
$$;
comment on function payout.first_absence(payout.stripe_reads) is
    'Id of the observation of the earlier scan; null: there is no proof yet.';
-- frozen: procedures/reconcile/is_compared.sql 8240ddf7e7aa
create or replace function payout.is_compared(p_within interval)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select
        from (values ('newest'), ('comparison')) as k (kind)
        cross join lateral (
            select r as last_read
            from payout.stripe_reads as r
            where r.kind = k.kind and r.finished_at is not null
            order by r.read_id desc limit 1
        ) as l
        where payout.is_current(l.last_read, p_within)
    );
end
$$;
comment on function payout.is_compared(interval) is
    'True when the last finished read of kind newest, or comparison, is current.';
-- frozen: procedures/reconcile/is_current.sql 437a40c1d2bb
create or replace function payout.is_current(p_read payout.stripe_reads, p_within interval)
returns boolean
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_now timestamptz := payout.clock();
begin
    return p_read.server_started_at = pg_postmaster_start_time()
        and p_read.begun_at > v_now - p_within
        and p_read.begun_at <= v_now
        and payout.is_of_this_database(p_read);
end
$$;
comment on function payout.is_current(payout.stripe_reads, interval) is
    'True for a read that was begun in this database under this start of the server, no longer '
    'ago than p_within.';
-- frozen: procedures/reconcile/is_far_enough.sql f09e7eedac0d
create or replace function payout.is_far_enough(
    p_read payout.stripe_reads, p_seen payout.stripe_transfer[]
)
returns boolean
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (
        select
        from unnest(p_seen) as l
        join payout.transfer_states as s on s.stripe_transfer_id = l.stripe_transfer_id
        join payout.transfer_observations as o on o.payout_transfer_id = s.payout_transfer_id
        where o.signal = 'response'
            and o.moved_to = 'paid' and o.stripe_transfer_id = l.stripe_transfer_id
    ) or (
        select count(*) >= 99 from payout.stripe_read_pages as p where p.read_id = p_read.read_id
    );
end
$$;
comment on function payout.is_far_enough(payout.stripe_reads, payout.stripe_transfer[]) is
    'True when the page shows a transfer that was reported paid here, or is the hundredth.';
-- frozen: procedures/reconcile/is_of_this_database.sql 481c8ee01164
create or replace function payout.is_of_this_database(p_read payout.stripe_reads)
returns boolean
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(
        (p_read.system_identifier, p_read.timeline_id, p_read.database_oid, p_read.table_oid)
            = (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)
        and (a.adoption_id is null or p_read.adoption_id >= a.adoption_id
            or p_read.read_id >= a.read_id),
        false)
    from payout.database_identity() as w
    left join lateral (
        select a.adoption_id, a.read_id
        from payout.adoptions as a
        where not a.is_first_claim
        order by a.adoption_id desc
        limit 1
    ) as a on true
$$;
comment on function payout.is_of_this_database(payout.stripe_reads) is
    'True for a read begun since the database was last adopted or its Stripe account changed, and '
    'for those from the comparison on that the adoption rests on.';
-- frozen: procedures/reconcile/kept_of_page.sql 2b7a8cd08a0b
create or replace function payout.kept_of_page(
    p_read payout.stripe_reads, p_objects jsonb, p_discrepancies payout.discrepancy[]
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case p_read.kind
        when 'lookup' then payout.possible_matches(p_read, p_objects)
        when 'reversals' then (
            select coalesce(jsonb_agg(r.reversal) filter (where r.reversal is not null), '[]')
            from jsonb_array_elements(p_objects) as o
            cross join lateral payout.read_reversal(
                o, p_read.stripe_transfer_id) as r (reversal))
        when 'comparison' then (
            select coalesce(jsonb_agg(jsonb_build_object(
                'kind', d.kind, 'stripe_transfer_id', d.stripe_transfer_id)), '[]')
            from unnest(p_discrepancies) as d
            where d.not_ours_rule_id is null)
        else '[]'
    end
$$;
comment on function payout.kept_of_page(
    payout.stripe_reads, jsonb, payout.discrepancy[]
) is
    'Of a look-up possible matches, of reversals all of them, of a comparison the kind and the '
    'transfer of each discrepancy.';
-- frozen: procedures/reconcile/lookup_outcome.sql e1d7de4033b0
create or replace function payout.lookup_outcome(
    p_read payout.stripe_reads, p_state payout.transfer_states
)
returns payout.outcome
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_matches jsonb[];
    v_found integer;
begin
    with kept as (
        select distinct on (m ->> 'stripe_transfer_id', m ->> 'match') m as match,
            array_position(array['ours', 'by charge', 'unreadable'], m ->> 'match') as rank
        from payout.stripe_read_pages as p
        cross join jsonb_array_elements(p.kept) as m
        where p.read_id = p_read.read_id
            and (m ->> 'match' <> 'by charge' or not exists (
                select from payout.transfer_states as s
                where s.stripe_transfer_id = m ->> 'stripe_transfer_id'
                    and s.payout_transfer_id <> p_state.payout_transfer_id))
        order by m ->> 'stripe_transfer_id', m ->> 'match', p.page_number desc
    )
    select array_agg(k.match), case when max(k.match ->> 'match') is distinct from 'unreadable'
        then count(*)::integer end
    into v_matches, v_found
    from kept as k
    where k.rank = (select min(n.rank) from kept as n);

    return jsonb_populate_record(null::payout.outcome,
        case when v_found = 1 then v_matches[1] else '{}' end || jsonb_build_object(
            'payout_transfer_id', p_state.payout_transfer_id,
            'generation', p_state.generation,
            'attempt', p_state.attempt,
            'signal', 'looked_up',
            'read_id', p_read.read_id,
            'found', v_found,
            'detail', case when v_found > 1 then (
                select string_agg(m ->> 'stripe_transfer_id', ', ') from unnest(v_matches) as m)
            end,
            'first_absence_id', case when v_found = 0 then payout.first_absence(p_read) end));
end
$$;
comment on function payout.lookup_outcome(payout.stripe_reads, payout.transfer_states) is
    'The number of transfers found, and the facts of the transfer if it is one; null: it cannot be '
    'told.';
-- frozen: procedures/reconcile/lookup_queries.sql 866e174d66eb
create or replace function payout.lookup_queries(p_transfer payout.payout_transfers)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_transfer.source_transaction is null
            then jsonb_build_array(jsonb_build_object('transfer_group', p_transfer.payout_ref))
        when count(d.destination) = 0 then '[{}]'
        else '[]'
    end || coalesce(jsonb_agg(jsonb_build_object('destination', d.destination)), '[]')
    from unnest(payout.destinations(p_transfer)) as d (destination)
$$;
comment on function payout.lookup_queries(payout.payout_transfers) is
    'Parameters of GET /v1/transfers, one object a query.';
-- frozen: procedures/reconcile/may_be_ours.sql 2fe98c39be61
create or replace function payout.may_be_ours(p_listed payout.stripe_transfer)
returns boolean
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(p_listed.payout_engine = e.installation_id, false)
        or exists (
            select from payout.payout_transfers as t
            where t.payout_ref in (
                p_listed.payout_ref, p_listed.transfer_group, p_listed.belongs_to)
        )
        or exists (
            select from payout.settlements as s
            cross join payout.payees as p
            where s.settlement_id = p_listed.settlement_id and p.payee_id = p_listed.payee_id
        )
        or coalesce(payout.payout_ref(e.installation_id, p_listed.settlement_id, p_listed.payee_id,
            p_listed.source_transaction) in (p_listed.payout_ref, p_listed.transfer_group), false)
        or (p_listed.payout_engine is null
            and concat_ws(' ', p_listed.payout_ref, p_listed.transfer_group)
                ~ '(^| )payout_[0-9a-f]{40}( |$)')
    from payout.engine_settings as e
$$;
comment on function payout.may_be_ours(payout.stripe_transfer) is
    'True where it names our installation, a payout_ref of ours, or a settlement and a payee of '
    'ours; or a payout_ref without saying of which installation.';
-- frozen: procedures/reconcile/newest_read.sql d323fd530c5b
create or replace function payout.newest_read(p_kind text)
returns payout.stripe_reads
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select r
    from payout.stripe_reads as r
    where r.kind = p_kind
        and r.kind in ('newest', 'events', 'comparison')
        and r.finished_at is not null
        and r.begun_at <= payout.clock()
        and payout.is_of_this_database(r)
    order by r.read_id desc
    limit 1
$$;
comment on function payout.newest_read(text) is
    'Of all transfers (comparison), the newest, or events; null: there is none.';
-- frozen: procedures/reconcile/next_parameters.sql 18d4b721ab46
create or replace function payout.next_parameters(
    p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_has_more
            then p_parameters || jsonb_build_object('starting_after', p_objects -> -1 -> 'id')
        -- Each query that was read to its end has one page after which no more follow.
        else p_read.queries -> (
            select count(*)::integer + 1
            from payout.stripe_read_pages as p
            where p.read_id = p_read.read_id and not p.has_more)
    end
$$;
comment on function payout.next_parameters(payout.stripe_reads, jsonb, jsonb, boolean) is
    'After the last page of a query those of the next query; null after the last one.';
-- frozen: procedures/reconcile/not_ours_rule.sql 67cfdd280818
create or replace function payout.not_ours_rule(p_kind text, p_theirs jsonb)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    return (
        select min(r.not_ours_rule_id)
        from payout.not_ours_rules as r
        cross join lateral jsonb_populate_record(
            null::payout.stripe_transfer, p_theirs - 'metadata_keys') as l
        where r.ended_at is null
            and p_kind in ('transfer_without_payout_ref', 'unknown_transfer_at_stripe')
            and coalesce(l.created_at < r.created_before, r.created_before is null)
            and coalesce(l.destination = r.destination, r.destination is null)
            and (r.metadata_key is null
                or coalesce(p_theirs -> 'metadata_keys' ? r.metadata_key, false))
            and not coalesce(payout.may_be_ours(l), true));
end
$$;
comment on function payout.not_ours_rule(text, jsonb) is
    'The id of the first open rule that fits, by kind and theirs of a discrepancy; null: none '
    'does, or the transfer may be ours.';
-- frozen: procedures/reconcile/note_reversals.sql b7b7f5dbc14c
create or replace function payout.note_reversals(p_seen payout.stripe_transfer[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_noted integer;
begin
    insert into payout.reversed_transfers as r (
        stripe_transfer_id, amount_reversed_minor, next_lookup_at)
    select l.stripe_transfer_id, max(l.amount_reversed_minor), payout.clock()
    from unnest(p_seen) as l
    where l.amount_reversed_minor > 0
        and l.stripe_transfer_id is not null
        and (l.belongs_to is not null or exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = l.stripe_transfer_id))
    group by l.stripe_transfer_id
    order by l.stripe_transfer_id
    on conflict (stripe_transfer_id) do update
    set amount_reversed_minor = excluded.amount_reversed_minor,
        next_lookup_at = excluded.next_lookup_at
    where r.amount_reversed_minor < excluded.amount_reversed_minor
        or (r.amount_reversed_minor = excluded.amount_reversed_minor
            and r.next_lookup_at > payout.clock() + interval '10 minutes');
    get diagnostics v_noted = row_count;
    return v_noted;
end
$$;
comment on function payout.note_reversals(payout.stripe_transfer[]) is
    'Plans the read of their reversals; returns the number of transfers.';
-- frozen: procedures/reconcile/open_discrepancies.sql bc4313971b19
create or replace function payout_api.open_discrepancies()
returns table (kind text, open_count bigint, since timestamptz, advice text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select d.kind, count(*), min(d.found_at),
        (array_agg(d.advice order by d.found_at, d.discrepancy_id))[1]
    from payout.discrepancies as d
    where d.resolved_at is null and d.kind <> 'settlement_edited'
    group by d.kind
    order by min(d.found_at), d.kind
$$;
comment on function payout_api.open_discrepancies() is
    'Unresolved discrepancies by kind, edits of the application aside: number, time of the oldest, '
    'and the next step for it.';
grant execute on function payout_api.open_discrepancies()
    to payout_worker, payout_operator, payout_auditor;
-- frozen: procedures/reconcile/page_problem.sql 590f95066c5b
create or replace function payout.page_problem(
    p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- Once, not for each page that was read.
    v_next jsonb := payout.next_parameters(p_read, p_parameters, p_objects, p_has_more);
begin
    if p_read.abandoned_at is not null or not payout.is_of_this_database(p_read) then
        return 'it no longer counts for this database';
    elsif p_read.finished_at is not null then
        return 'it has all of its pages';
    elsif p_parameters is distinct from p_read.next_parameters then
        return format('the page of %s comes next, not that of %s', p_read.next_parameters,
            coalesce(p_parameters::text, 'nothing'));
    elsif p_objects is null or jsonb_typeof(p_objects) <> 'array' then
        return 'the page is not an array';
    elsif p_has_more is null then
        return 'the page does not say whether more pages follow';
    elsif p_has_more and payout.read_text(p_objects -> -1 -> 'id') is null then
        return 'more pages are said to follow, but the last object has no id to go on from';
    elsif exists (
        select from payout.stripe_read_pages as p
        where p.read_id = p_read.read_id
            and p.parameters = v_next
    ) then
        return 'the page leads back to one that was read';
    end if;
    return null;
end
$$;
comment on function payout.page_problem(payout.stripe_reads, jsonb, jsonb, boolean) is
    'Names the problem, with the parameters expected; null: it is the next page.';
-- frozen: procedures/reconcile/possible_matches.sql 3e73e1ea9c31
create or replace function payout.possible_matches(
    p_read payout.stripe_reads, p_objects jsonb
)
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce(jsonb_agg(to_jsonb(l) || jsonb_build_object('match', m.match)), '[]')
    from payout.payout_transfers as t
    cross join lateral payout.destinations(t) as d (destinations)
    cross join jsonb_array_elements(p_objects) as o
    cross join lateral payout.read_stripe_transfer(o) as l
    cross join lateral (select case
        when t.payout_ref in (l.payout_ref, l.transfer_group) then 'ours'
        when l.settlement_id = t.settlement_id and l.payee_id = t.payee_id and not exists (
            select from payout.payout_transfers as x
            where x.settlement_id = t.settlement_id
                and x.payee_id = t.payee_id
                and x.source_transaction is not distinct from l.source_transaction
                and x.payout_transfer_id <> t.payout_transfer_id
        ) then 'ours'
        when l.source_transaction = t.source_transaction
            and l.destination = any (d.destinations)
            and l.amount_minor = t.amount_minor then 'by charge'
        when not l.is_readable
            and (l.source_transaction is null or l.source_transaction = t.source_transaction)
            and coalesce(l.destination = any (d.destinations), true)
            and coalesce(l.amount_minor = t.amount_minor, true)
            and coalesce(l.currency = t.currency, true) then 'unreadable'
    end) as m (match)
    where t.payout_transfer_id = p_read.payout_transfer_id
        and m.match is not null
$$;
comment on function payout.possible_matches(payout.stripe_reads, jsonb) is
    'An array of payout.stripe_transfer as objects, each with why it may match: ours, by charge, '
    'unreadable.';
-- frozen: procedures/reconcile/read_reversal.sql 445b95ea87a3
create or replace function payout.read_reversal(p_object jsonb, p_stripe_transfer_id text)
returns jsonb
language sql
immutable
set search_path = pg_catalog, pg_temp
as $$
    select jsonb_build_object('id', r.id, 'amount', r.amount_minor, 'currency', r.currency)
    from (
        select substring(payout.read_text(p_object -> 'id') from '^trr_[A-Za-z0-9_]+$'),
            payout.read_whole(p_object -> 'amount'), payout.read_text(p_object -> 'currency')
    ) as r (id, amount_minor, currency)
    where length(r.id) <= 255
        and r.amount_minor > 0
        and r.currency is not null
        and payout.read_text(p_object -> 'transfer') = p_stripe_transfer_id
$$;
comment on function payout.read_reversal(jsonb, text) is
    'Its id, amount and currency; null where it is no reversal of that transfer, or unreadable.';
-- frozen: procedures/reconcile/record_discrepancies.sql f28051275743
create or replace function payout.record_discrepancies(
    p_discrepancies payout.discrepancy[], p_read_id bigint
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_open payout.discrepancy[] := array(
        select n from unnest(p_discrepancies) as n
        where n.not_ours_rule_id is null
            and not exists (
                select from payout.discrepancies as d
                where d.kind = n.kind
                    and d.stripe_transfer_id = n.stripe_transfer_id
                    and d.found_by_read_id is not null
                    and d.resolved_at is not null
                    and d.resolved_by_read_id is null
                    and d.resolved_by_rule_id is null
                    and d.theirs - array['amount_reversed_minor', 'created_at', 'metadata_keys']
                        = n.theirs - array['amount_reversed_minor', 'created_at', 'metadata_keys']
            ));
    v_new record;
begin
    for v_new in
        with recorded as (
            insert into payout.discrepancies (
                kind, payout_transfer_id, stripe_transfer_id, ours, theirs, advice,
                found_by_read_id)
            select n.kind, n.payout_transfer_id, n.stripe_transfer_id, n.ours, n.theirs,
                k.advice, p_read_id
            from unnest(v_open) as n
            join payout.discrepancy_kinds as k on k.kind = n.kind
            -- The key alone would wait for the transaction of an operator.
            where not exists (
                select from payout.discrepancies as d
                where d.kind = n.kind
                    and d.stripe_transfer_id = n.stripe_transfer_id
                    and d.found_by_read_id is not null
                    and d.resolved_at is null
            )
            order by n.stripe_transfer_id, n.kind
            on conflict (kind, stripe_transfer_id)
                where found_by_read_id is not null and resolved_at is null
            do nothing
            returning kind, stripe_transfer_id, discrepancy_id
        )
        select r.kind, count(*) as discrepancies, min(r.stripe_transfer_id) as example,
            array_agg(r.discrepancy_id order by r.discrepancy_id) as discrepancy_ids
        from recorded as r
        group by r.kind
        order by r.kind
    loop
        perform payout.notify_operators(
            v_new.kind, format('%s found, %s among them', v_new.discrepancies, v_new.example),
            jsonb_build_object(
                'read_id', p_read_id, 'discrepancy_ids', v_new.discrepancy_ids[1:20]));
    end loop;
    return cardinality(v_open);
end
$$;
comment on function payout.record_discrepancies(payout.discrepancy[], bigint) is
    'Stores each discrepancy once; returns how many are open.';
-- frozen: procedures/reconcile/record_listed_transfers.sql 7261bfd1355b
create or replace function payout.record_listed_transfers(p_stripe_transfer_ids text[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids text[];
    v_outcomes payout.outcome[];
    v_alarms integer := 0;
begin
    v_ids := array(
        select l.stripe_transfer_id
        from unnest(p_stripe_transfer_ids) as i (stripe_transfer_id)
        join payout.listed_transfers as l on l.stripe_transfer_id = i.stripe_transfer_id
        join payout.payout_transfers as t on t.payout_ref = l.payout_ref
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where s.stripe_transfer_id is distinct from l.stripe_transfer_id
            -- The sweep opens its next key first.
            and (s.state <> 'failed' or s.next_attempt_at is null)
            -- No join, which may read the whole history.
            and (
                select min(o.observation_id)
                from payout.transfer_observations as o
                where o.payout_transfer_id = t.payout_transfer_id
                    and o.stripe_transfer_id = l.stripe_transfer_id
                    and o.signal = 'looked_up'
            ) is null
        order by s.payout_transfer_id
        for update of s);
    if v_ids = '{}' then
        return 0;
    end if;

    for v_outcomes in
        select array_agg(jsonb_populate_record(null::payout.outcome, to_jsonb(j.listed)
            || jsonb_build_object('payout_transfer_id', j.payout_transfer_id,
                'generation', j.generation, 'attempt', j.attempt, 'signal', 'looked_up',
                'object', 'transfer', 'found', 1, 'payout_ref', (j.listed).named_payout_ref,
                'payout_engine', (j.listed).named_engine,
                'detail', 'read ' || (j.listed).read_id)))
        from (
            select l as listed, s.payout_transfer_id, s.generation, s.attempt, row_number() over (
                partition by s.payout_transfer_id order by l.created_at, l.stripe_transfer_id
            ) as turn
            from payout.listed_transfers as l
            join payout.payout_transfers as t on t.payout_ref = l.payout_ref
            join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
            where l.stripe_transfer_id = any (v_ids)
        ) as j
        group by j.turn
        order by j.turn
    loop
        v_alarms := v_alarms + (
            select count(*) filter (where r.verdict = 'alarm')
            from payout.record_outcomes_apart(v_outcomes) as r)::integer;
    end loop;
    perform payout.resolve_paid(v_ids);
    return v_alarms;
end
$$;
comment on function payout.record_listed_transfers(text[]) is
    'Judges stored listed transfers that are known here; returns the number of alarms.';
-- frozen: procedures/reconcile/report_page.sql 2f33f3483842
create or replace function payout_api.report_page(
    p_read_id bigint,
    p_token text,
    p_parameters jsonb,
    p_objects jsonb,
    p_has_more boolean,
    p_is_rate_limited boolean default false
)
returns table (
    next_parameters jsonb,
    objects_seen bigint,
    objects_found bigint,
    result text,
    is_alarm boolean,
    read_in_seconds double precision
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
as $$
declare
    v_read payout.stripe_reads;
    v_problem text;
    v_turns record;
begin
    -- A transfer that was settled meanwhile would be unknown to these books, and stop the engine.
    perform payout.refuse_old_snapshot('no page is taken');
    lock table payout.adoptions in access share mode;
    select * into v_read
    from payout.stripe_reads as r
    where r.read_id = p_read_id
        and sha256(convert_to(p_token, 'UTF8')) = any (r.token_sha256s)
    for update;
    if not found then
        raise exception 'read %: there is no such read, or the token is of another',
            coalesce(p_read_id::text, 'null')
            using
                errcode = 'SP340',
                hint = 'Hand back the token as claim_reads told it; or claim again.';
    end if;

    if p_is_rate_limited then
        perform payout.lower_pace('reads', payout.clock() - interval '1 second');
    elsif not exists (
        select from payout.stripe_read_pages as p
        where p.read_id = p_read_id and p.parameters = p_parameters
    ) then
        v_problem := payout.page_problem(v_read, p_parameters, p_objects, p_has_more);
        if v_problem is not null then
            raise exception 'read %: %', p_read_id, v_problem
                using
                    errcode = 'SP341',
                    hint = 'Read the list page by page, with the parameters that the database '
                        'tells; claim again if the read no longer counts.';
        end if;
        v_read := payout.take_page(v_read, p_parameters, p_objects, p_has_more);
    end if;
    v_turns := payout.take_turns(
        'reads', num_nonnulls(v_read.next_parameters), payout.clock());
    return query
    select v_read.next_parameters, v_read.objects_seen, v_read.objects_found, v_read.result,
        v_read.is_alarm, v_turns.first_seconds;
end
$$;
comment on function payout_api.report_page(
    bigint, text, jsonb, jsonb, boolean, boolean
) is
    'Takes the objects of a page, as Stripe sent them, with the parameters that it was asked with; '
    'returns the parameters of the next page (null: there is none, and result says what was '
    'found), the counts of the read so far, and the seconds until the turn of the next page. '
    'p_is_rate_limited: there are no objects, Stripe refused the page for its rate.';
grant execute on function payout_api.report_page(
    bigint, text, jsonb, jsonb, boolean, boolean
) to payout_worker;
-- frozen: procedures/reconcile/resolve_by_rules.sql 82a66af4ab0d
create or replace function payout.resolve_by_rules()
returns bigint
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_resolved bigint;
begin
    with explained as materialized (
        select d.discrepancy_id, payout.not_ours_rule(d.kind, d.theirs) as rule_id
        from payout.discrepancies as d
        where d.resolved_at is null
            and d.found_by_read_id is not null
            and d.kind in ('transfer_without_payout_ref', 'unknown_transfer_at_stripe')
        order by d.discrepancy_id
        for update skip locked
    )
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('not ours by rule %s', e.rule_id),
        resolved_by_rule_id = e.rule_id
    from explained as e
    where d.discrepancy_id = e.discrepancy_id and e.rule_id is not null;
    get diagnostics v_resolved = row_count;
    return v_resolved;
end
$$;
comment on function payout.resolve_by_rules() is
    'Resolves the discrepancies of transfers that are not ours by an open rule; returns how many.';
-- frozen: procedures/reconcile/resolve_compared.sql 788499b1409c
create or replace function payout.resolve_compared(p_read payout.stripe_reads)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
set enable_seqscan = on
set enable_hashjoin = on
set enable_mergejoin = on
as $$
begin
    with no_longer_found as materialized (
        select d.discrepancy_id
        from payout.discrepancies as d
        where d.resolved_at is null
            and d.kind in (
                'differs_at_stripe', 'missing_at_stripe', 'transfer_without_payout_ref',
                'unknown_transfer_at_stripe')
            and d.found_at < p_read.begun_at
            and d.found_by_read_id <> p_read.read_id
            and d.stripe_transfer_id in (
                select i.stripe_transfer_id
                from payout.stripe_read_pages as p
                cross join unnest(p.stripe_transfer_ids) as i (stripe_transfer_id)
                where p.read_id = p_read.read_id
            )
            and not exists (
                select from payout.stripe_read_pages as p
                cross join jsonb_to_recordset(p.kept) as k (kind text, stripe_transfer_id text)
                where p.read_id = p_read.read_id
                    and k.kind = d.kind
                    and k.stripe_transfer_id = d.stripe_transfer_id
            )
        for update of d skip locked
    )
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('read %s found it no longer', p_read.read_id),
        resolved_by_read_id = p_read.read_id
    from no_longer_found as n
    where d.discrepancy_id = n.discrepancy_id;
end
$$;
comment on function payout.resolve_compared(payout.stripe_reads) is
    'Resolves open discrepancies of transfers that this comparison listed without finding them '
    'again.';
-- frozen: procedures/reconcile/resolve_paid.sql 4f9bdff2432e
create or replace function payout.resolve_paid(p_stripe_transfer_ids text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = 'engine',
        resolution = format('Stripe has transfer %s as %s, as it was asked for.',
            s.payout_transfer_id, s.stripe_transfer_id)
    from payout.transfer_states as s
    cross join lateral (
        select o.discrepancy_id
        from payout.discrepancies as o
        where o.resolved_at is null
            and o.kind <> 'several_transfers_at_stripe'
            and (
                o.stripe_transfer_id = s.stripe_transfer_id
                or (o.payout_transfer_id = s.payout_transfer_id and o.stripe_transfer_id is null)
            )
        for update skip locked
    ) as u
    where s.stripe_transfer_id = any (p_stripe_transfer_ids)
        and d.discrepancy_id = u.discrepancy_id;

    -- A hold that a person placed stays.
    perform payout.end_holds(array(
        select h.hold_id
        from payout.transfer_states as s
        join payout.holds as h on h.scope = 'transfer' and h.released_at is null
            and h.subject = s.payout_transfer_id::text
        where s.stripe_transfer_id = any (p_stripe_transfer_ids)
            and h.discrepancy_id is not null
            and not exists (
                select from payout.discrepancies as d
                where d.payout_transfer_id = s.payout_transfer_id and d.resolved_at is null
            )
        for update of h skip locked), 'engine', 'its alarms are resolved');
end
$$;
comment on function payout.resolve_paid(text[]) is
    'Resolves the open discrepancies of the transfers that are paid by these ids, except those of '
    'several transfers at Stripe, and releases the holds that their alarms placed.';
-- frozen: procedures/reconcile/reversals_problem.sql 684fb10360d8
create or replace function payout.reversals_problem(
    p_transfer payout.payout_transfers, p_reversals jsonb
)
returns text
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
    if exists (
        select from jsonb_array_elements(p_reversals) as r
        where r ->> 'currency' is distinct from p_transfer.currency::text
    ) then
        return 'another currency';
    elsif exists (
        select from jsonb_array_elements(p_reversals) as r
        group by r ->> 'id'
        having count(distinct r ->> 'amount') > 1
    ) then
        return 'two amounts of one';
    elsif (
        select sum(r.amount_minor)
        from (
            select r ->> 'id', (r ->> 'amount')::numeric
            from jsonb_array_elements(p_reversals) as r
            union
            select e.stripe_reversal_id, e.amount_minor
            from payout.ledger_entries as e
            where e.payout_transfer_id = p_transfer.payout_transfer_id and e.kind = 'reversal'
        ) as r (id, amount_minor)
    ) > p_transfer.amount_minor then
        return 'more than was paid';
    elsif exists (
        select from payout.ledger_entries as e
        join jsonb_array_elements(p_reversals) as r on r ->> 'id' = e.stripe_reversal_id
        where e.payout_transfer_id <> p_transfer.payout_transfer_id
            or e.amount_minor <> (r ->> 'amount')::bigint
    ) then
        return 'booked otherwise';
    end if;
    return null;
end
$$;
comment on function payout.reversals_problem(payout.payout_transfers, jsonb) is
    'Null: the reversals fit the transfer and the books.';
-- frozen: procedures/reconcile/set_aside_unreadable.sql a3024283d765
create or replace function payout.set_aside_unreadable(
    p_read payout.stripe_reads, p_objects jsonb
)
returns integer
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select (p_read.kind in ('newest', 'comparison'))::integer * payout.record_discrepancies(array(
        select distinct on (n.name) row(
            'unreadable_at_stripe', p_read.payout_transfer_id, n.name, '{}'::jsonb,
            jsonb_build_object('path', p_read.path, 'object', left(o::text, 2000)), null
        )::payout.discrepancy
        from jsonb_array_elements(p_objects) as o
        cross join lateral (select left(coalesce(
            payout.read_text(o -> 'id'),
            'without id: ' || encode(sha256(convert_to(o::text, 'UTF8')), 'hex')), 255)
        ) as n (name)
        where case p_read.kind
            when 'lookup' then not (payout.read_stripe_transfer(o)).is_readable
            when 'reversals' then payout.read_reversal(o, p_read.stripe_transfer_id) is null
            when 'events' then (payout.read_stripe_transfer(
                o #> '{data,object}')).stripe_transfer_id is null
            else (payout.read_stripe_transfer(o)).stripe_transfer_id is null
        end
        order by n.name
    ), p_read.read_id)
$$;
comment on function payout.set_aside_unreadable(payout.stripe_reads, jsonb) is
    'Records discrepancies of kind unreadable_at_stripe; returns their number for the count of a '
    'comparison, 0 for other reads.';
-- frozen: procedures/reconcile/stop_beside_another.sql c3d64b6149c7
create or replace function payout.stop_beside_another(
    p_seen payout.stripe_transfer[], p_read_id bigint
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_installation_id text := (select e.installation_id from payout.engine_settings as e);
    v_ours text;
    v_other payout.stripe_transfer;
begin
    select min(l.stripe_transfer_id) into v_ours
    from unnest(p_seen) as l
    left join payout.payout_transfers as t on t.payout_ref = l.belongs_to
    left join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where l.payout_engine = v_installation_id
        and l.belongs_to ~ '^payout_[0-9a-f]{40}$'
        and coalesce(s.attempt, 0) = 0
        and not exists (
            select from payout.transfer_states as p
            where p.stripe_transfer_id = l.stripe_transfer_id
        )
        and not exists (
            select from payout.listed_transfers as k
            where k.stripe_transfer_id = l.stripe_transfer_id
        );
    if v_ours is not null then
        perform payout.stop_claims('database_went_back',
            format('Stripe has transfers of this installation that this database never sent, such '
                'as %s: it went back in time, or a copy of it pays too', v_ours), p_read_id);
    end if;

    select l.* into v_other
    from unnest(p_seen) as l
    where l.payout_engine <> v_installation_id
        and l.payout_engine ~ '^[0-9a-f]{32}$'
        -- The first claim, and an operator, adopt it anew.
        and (
            select a.is_installation from payout.adoptions as a order by a.adoption_id desc limit 1
        )
    order by l.stripe_transfer_id
    limit 1;
    if found then
        perform payout.stop_claims('another_installation',
            format('another installation pays from the same Stripe account, payout_engine %s, such '
                'as %s', v_other.payout_engine, v_other.stripe_transfer_id), p_read_id);
    end if;
end
$$;
comment on function payout.stop_beside_another(payout.stripe_transfer[], bigint) is
    'Stops claims when a transfer of this installation is unknown here and was not listed before, '
    'or when one of another installation is seen before the first claim.';
-- frozen: procedures/reconcile/take_listed_transfers.sql d0d8ae01c9cb
create or replace function payout.take_listed_transfers(
    p_read payout.stripe_reads,
    p_objects jsonb,
    out listed payout.stripe_transfer[],
    out discrepancies payout.discrepancy[],
    out objects_found integer
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_objects jsonb := case p_read.kind
        when 'events' then jsonb_path_query_array(p_objects, '$[*].data.object')
        else p_objects
    end;
    v_reversed integer;
begin
    -- Of several events about one transfer, the one with the most reversed counts.
    listed := array(
        select distinct on (t.stripe_transfer_id) t
        from jsonb_array_elements(v_objects) as o
        cross join lateral payout.read_stripe_transfer(o) as t
        where t.stripe_transfer_id is not null
        order by t.stripe_transfer_id, t.amount_reversed_minor desc nulls last);
    discrepancies := payout.compare_listed_transfers(listed, v_objects);

    perform payout.stop_beside_another(listed, p_read.read_id);
    insert into payout.listed_transfers (
        stripe_transfer_id, payout_ref, amount_minor, amount_reversed_minor, currency,
        destination, is_livemode, named_payout_ref, named_engine, source_transaction, created_at,
        read_id, seen_at)
    select l.stripe_transfer_id, l.belongs_to, l.amount_minor,
        coalesce(l.amount_reversed_minor, 0), l.currency, l.destination, l.is_livemode,
        l.payout_ref, l.payout_engine, l.source_transaction, l.created_at, p_read.read_id,
        payout.clock()
    from unnest(listed) as l
    where l.belongs_to is not null
        and not exists (
            select from payout.transfer_states as s
            where s.stripe_transfer_id = l.stripe_transfer_id
        )
    order by l.stripe_transfer_id
    on conflict do nothing;

    objects_found := payout.record_discrepancies(discrepancies, p_read.read_id)
        + payout.record_listed_transfers(array(
            select l.stripe_transfer_id from unnest(listed) as l));
    v_reversed := payout.note_reversals(listed);
    if p_read.kind = 'events' then
        objects_found := v_reversed;
    end if;
end
$$;
comment on function payout.take_listed_transfers(payout.stripe_reads, jsonb) is
    'Returns the transfers, each once and in order of their ids, those whose id cannot be read '
    'aside; their discrepancies; and the number of discrepancies and alarms, or, for events, of '
    'the transfers of which more is reversed than was known.';
-- frozen: procedures/reconcile/take_page.sql b0e1f3acf4df
create or replace function payout.take_page(
    p_read payout.stripe_reads, p_parameters jsonb, p_objects jsonb, p_has_more boolean
)
returns payout.stripe_reads
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_read payout.stripe_reads;
    v_next jsonb;
    v_listed payout.stripe_transfer[] := '{}'::payout.stripe_transfer[];
    v_discrepancies payout.discrepancy[];
    v_found integer := 0;
begin
    if p_read.kind in ('newest', 'events', 'comparison') then
        select l.* into v_listed, v_discrepancies, v_found
        from payout.take_listed_transfers(p_read, p_objects) as l;
    end if;
    v_next := payout.next_parameters(p_read, p_parameters, p_objects, p_has_more
        and not (p_read.kind = 'newest' and payout.is_far_enough(p_read, v_listed)));
    if cardinality(v_listed) < jsonb_array_length(p_objects) then
        v_found := v_found + payout.set_aside_unreadable(p_read, p_objects);
    end if;

    insert into payout.stripe_read_pages (
        read_id, page_number, parameters, has_more, stripe_transfer_ids, kept, received_at)
    select p_read.read_id, coalesce(max(p.page_number), 0) + 1, p_parameters,
        p_has_more and v_next is not null,
        case p_read.kind when 'comparison' then array(
            select l.stripe_transfer_id from unnest(v_listed) as l) else '{}' end,
        payout.kept_of_page(p_read, p_objects, v_discrepancies), payout.clock()
    from payout.stripe_read_pages as p
    where p.read_id = p_read.read_id;

    update payout.stripe_reads as r
    set next_parameters = v_next,
        objects_seen = r.objects_seen + jsonb_array_length(p_objects),
        objects_found = r.objects_found + v_found,
        not_ours = r.not_ours || (
            select coalesce(jsonb_object_agg(n.rule_id, n.transfers), '{}')
            from (
                select d.not_ours_rule_id, count(*)
                    + coalesce((r.not_ours ->> d.not_ours_rule_id::text)::bigint, 0)
                from unnest(v_discrepancies) as d
                where d.not_ours_rule_id is not null
                group by d.not_ours_rule_id
            ) as n (rule_id, transfers)),
        newest_created_at = greatest(r.newest_created_at, (
            select max(to_timestamp(c.created))
            from jsonb_array_elements(p_objects) as o
            cross join lateral payout.read_whole(o -> 'created') as c (created)
            -- A time ahead of ours may be a broken one; an earlier one has more read again.
            where c.created <= extract(epoch from r.begun_at)))
    where r.read_id = p_read.read_id
    returning * into strict v_read;
    if v_next is null then
        return payout.finish_read(v_read);
    end if;
    return v_read;
end
$$;
comment on function payout.take_page(payout.stripe_reads, jsonb, jsonb, boolean) is
    'Returns the read with its next parameters and counts.';
-- frozen: procedures/claim/claim_transfers.sql 14e8aa2c645e
create or replace function payout_api.claim_transfers(
    p_worker text,
    p_limit integer default 100,
    p_payout_job_id bigint default null,
    p_stripe_account_id text default null,
    p_is_livemode boolean default null,
    p_stripe_now timestamptz default null
)
returns setof payout.claim
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set plan_cache_mode = force_generic_plan
as $$
declare
    v_settings payout.engine_settings;
    v_now timestamptz;
    v_free integer;
    v_size integer := p_limit;
    v_due record;
    v_claims payout.claim[] := '{}'::payout.claim[];
begin
    perform payout.refuse_unsafe_server(p_stripe_now);
    -- Claims count one after the other where there are caps. What stops a claim, and the hour in
    -- which it counts, are read after that wait.
    perform from payout.caps as c order by c.scope, c.currency for update;
    v_now := payout.clock();
    select * into strict v_settings from payout.engine_settings;
    perform payout.refuse_unsafe_database(
        p_stripe_account_id, p_is_livemode, v_settings.comparison_counts_for);

    if p_worker is null or coalesce(p_limit, 0) not between 1 and v_settings.largest_claim then
        raise exception 'claim of % transfers by %', coalesce(p_limit::text, 'null'),
            coalesce(p_worker, 'no worker')
            using
                errcode = 'SP311',
                hint = format('Name the worker, ask for 1 to %s.', v_settings.largest_claim);
    end if;

    perform payout.forget_pending_wakeup();
    v_free := payout.free_turns(v_now);
    -- Bounded, should a row be due still that was set aside, or waits.
    for v_turn in 0 .. 2 * p_limit loop
        begin
            v_size := least(v_size, least(p_limit, v_free) - cardinality(v_claims));
            select array_agg(d.payout_transfer_id) as ids, null::bigint[] as allowed_ids,
                array_agg(distinct d.wakeup_id) as wakeup_ids
            into v_due
            from payout.lock_due_transfers(
                v_now, v_now - v_settings.send_window_for, p_worker, v_size, p_payout_job_id) as d;
            exit when v_due.ids is null;
            perform payout.remove_served_wakeups(v_due.wakeup_ids);
            v_due.allowed_ids := payout.within_caps(v_due.ids, v_now);
            perform payout.adopt_at_first_claim(v_due.allowed_ids);
            v_claims := v_claims || array(
                select c
                from payout.open_attempts(
                    v_due.allowed_ids, p_worker, v_now, v_settings, v_free is not null) as c);
            exit when cardinality(v_due.ids) < v_size
                or cardinality(v_claims) >= least(p_limit, v_free);
        exception
            when integrity_constraint_violation or data_exception
                or sqlstate 'SP103' or sqlstate 'SP201' then
                -- One of them contradicts its facts: one by one they show which.
                if cardinality(v_due.ids) = 1 then
                    perform payout.set_aside(v_due.ids[1], sqlerrm);
                end if;
                v_size := 1;
        end;
    end loop;
    return query select * from unnest(v_claims);
end
$$;
comment on function payout_api.claim_transfers(
    text, integer, bigint, text, boolean, timestamptz
) is
    'Hands out up to p_limit due transfers (of one job, if given) with key, request and lease; '
    'empty while the engine or the worker is on hold. The Stripe account is that of the worker''s '
    'key, p_stripe_now the time by Stripe''s Date header. Seconds count from before the call; '
    'send_in_seconds is the turn of the transfer, where a pace is kept; due_for_seconds since it '
    'was due under this key, for metrics.';
grant execute on function payout_api.claim_transfers(
    text, integer, bigint, text, boolean, timestamptz
) to payout_worker;
-- frozen: procedures/claim/exceeded_cap.sql eb277a4bb6e6
create or replace function payout.exceeded_cap(
    p_transfer payout.payout_transfers, p_now timestamptz
)
returns table (
    hold_scope text, subject text, reason text, goes_on_at timestamptz, notifies boolean
)
language sql
stable
rows 1
set search_path = pg_catalog, pg_temp
as $$
    select
        case when c.scope = 'engine' and w.passes_later then 'currency' else 'transfer' end,
        case when c.scope = 'engine' and w.passes_later
            then p_transfer.currency else p_transfer.payout_transfer_id::text end,
        case c.scope when 'transfer' then 'over_the_cap_of_a_transfer'
            when 'payee' then 'over_the_cap_of_a_payee_and_day'
            else 'over_the_cap_of_an_hour' end,
        case when w.passes_later then w.begun_at
            + case c.scope when 'payee' then interval '1 day' else interval '1 hour' end end,
        case when w.passes_later then c.scope = 'engine' else not exists (
            select
            from payout.holds as h
            join payout.payout_transfers as t
                on t.payout_transfer_id = case h.scope when 'transfer' then h.subject::bigint end
            where h.scope = 'transfer'
                and h.awaits = 'cap'
                and h.released_at is null
                and h.goes_on_at is null
                and h.placed_at > p_now - (
                    select e.alarm_window_for from payout.engine_settings as e)
                and t.currency = p_transfer.currency
        ) end
    from payout.caps as c
    left join payout.cap_uses as u on u.scope = c.scope
        and u.currency = c.currency
        and u.subject = case c.scope when 'payee' then p_transfer.payee_id::text else '' end
    cross join lateral (
        select greatest(u.begun_at,
                date_trunc(case c.scope when 'payee' then 'day' else 'hour' end, p_now, 'UTC')),
            c.scope <> 'transfer'
                and p_transfer.amount_minor <= coalesce(
                    c.largest_amount_minor, p_transfer.amount_minor)
                and coalesce(c.largest_count, 1) > 0
    ) as w (begun_at, passes_later)
    where c.currency = p_transfer.currency
        and (
            p_transfer.amount_minor + case when u.begun_at = w.begun_at then u.amount_minor else 0
                end > c.largest_amount_minor
            or 1 + case when u.begun_at = w.begun_at then u.transfers else 0 end > c.largest_count)
        and not exists (
            select from payout.holds as h
            where h.scope = 'transfer'
                and h.subject = p_transfer.payout_transfer_id::text
                and h.awaits = 'cap'
                and h.released_by <> 'engine'
        )
    order by w.passes_later, c.scope
    limit 1
$$;
comment on function payout.exceeded_cap(payout.payout_transfers, timestamptz) is
    'The wait (scope, subject, reason, end) of a transfer that is over a cap, and whether '
    'operators are notified; no row: it is over none.';
-- frozen: procedures/claim/freeze_requests.sql 8972277ce99f
create or replace function payout.freeze_requests(p_payout_transfer_ids bigint[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into payout.transfer_requests (
        payout_transfer_id, generation, destination, request, reason, evidence_observation_id,
        second_evidence_observation_id)
    select s.payout_transfer_id, s.generation, a.stripe_account_id,
        payout.transfer_request(t, a.stripe_account_id, m.metadata, e.installation_id), k.reason,
        (k.facts ->> 'evidence_observation_id')::bigint,
        (k.facts ->> 'second_evidence_observation_id')::bigint
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    join payout.settlements as m on m.settlement_id = t.settlement_id
    cross join payout.engine_settings as e
    left join lateral (
        select a.stripe_account_id
        from payout.payee_accounts as a
        where a.payee_id = t.payee_id
        order by a.payee_account_id desc
        limit 1
    ) as a on true
    left join payout.transfer_observations as k on s.generation > 1
        and k.payout_transfer_id = s.payout_transfer_id
        and k.generation = s.generation
        and k.signal = 'key_opened'
    where s.payout_transfer_id = any (p_payout_transfer_ids)
        and not exists (
            select from payout.transfer_requests as r
            where r.payout_transfer_id = s.payout_transfer_id and r.generation = s.generation
        )
        and not exists (
            select from payout.holds as h
            where h.scope = 'payee'
                and h.subject = t.payee_id::text
                and h.awaits = 'account_change'
                and h.released_at is null
        );
end
$$;
comment on function payout.freeze_requests(bigint[]) is
    'Writes transfer_requests for those of the transfers whose present key has none.';
-- frozen: procedures/claim/lock_due_transfers.sql d7aa6ab6914c
create or replace function payout.lock_due_transfers(
    p_now timestamptz,
    p_window_begins_after timestamptz,
    p_worker text,
    p_limit integer,
    p_payout_job_id bigint
)
returns table (payout_transfer_id bigint, wakeup_id bigint)
language plpgsql
volatile
rows 20
set search_path = pg_catalog, pg_temp
as $$
begin
    return query
    select s.payout_transfer_id, s.wakeup_id
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.next_attempt_at <= p_now
        and s.hold_id is null
        and s.state in ('scheduled', 'retry_wait', 'unknown')
        and ((s.window_begins_at is null and s.next_attempt_at > p_window_begins_after)
            or (s.window_begins_at > p_window_begins_after and s.window_begins_at <= p_now))
        and (p_payout_job_id is null or t.payout_job_id = p_payout_job_id)
        and not case
            when (select exists (select from payout.listed_transfers))
                then exists (
                    select from payout.listed_transfers as l where l.payout_ref = t.payout_ref
                )
            else false
        end
        and not exists (
            select from payout.holds as h
            where h.released_at is null
                and h.awaits is null
                and (h.scope = 'engine' or (h.scope = 'worker' and h.subject = p_worker))
        )
        and not case
            when s.hold_id is not null then true
            when (select exists (
                select from payout.holds as h
                where h.scope <> 'engine' and h.awaits is null and h.released_at is null))
                then
                    t.currency::text in (select h from payout.held('currency') as h)
                    or t.payee_id::text in (select h from payout.held('payee') as h)
                    or t.settlement_id::text in (select h from payout.held('settlement') as h)
                    or t.payout_transfer_id::text in (select h from payout.held('transfer') as h)
            else false
        end
        and not case
            when s.window_begins_at is not null then false
            when (select exists (
                select from payout.holds as h where h.awaits is not null and h.released_at is null))
                then (
                    t.currency::text in (select h from payout.held('currency', 'cap') as h)
                    or t.payout_transfer_id::text in (
                        select h from payout.held('transfer', 'cap') as h)
                    or t.payee_id::text in (
                        select h from payout.held('payee', 'account_change') as h)
                    or (
                        t.payee_id::text in (select h from payout.held('payee', 'account') as h)
                        or t.source_transaction is null and t.currency::text in (
                            select h from payout.held('currency', 'funds') as h)
                    ) and t.payout_transfer_id not in (select payout.let_through_ids())
                )
            else false
        end
    order by s.next_attempt_at
    limit p_limit
    for update of s skip locked
    for key share of t skip locked;
end
$$;
comment on function payout.lock_due_transfers(timestamptz, timestamptz, text, integer, bigint) is
    'Returns up to p_limit transfers that are not on hold and whose key is young enough.';
-- frozen: procedures/claim/open_attempts.sql 895fddfc1fcb
create or replace function payout.open_attempts(
    p_payout_transfer_ids bigint[],
    p_worker text,
    p_now timestamptz,
    p_settings payout.engine_settings,
    p_is_paced boolean
)
returns setof payout.claim
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_first double precision := 0::double precision;
    v_apart double precision := 0::double precision;
begin
    if p_is_paced then
        select * into v_first, v_apart
        from payout.take_turns('sends', cardinality(p_payout_transfer_ids), p_now);
        if v_first is null then
            return;
        end if;
    end if;
    perform payout.freeze_requests(p_payout_transfer_ids);
    return query
    with claimed as materialized (
        update payout.transfer_states as s
        set state = 'in_flight',
            attempt = s.attempt + 1,
            lease_until = p_now + p_settings.lease_for,
            next_attempt_at = null,
            window_begins_at = coalesce(s.window_begins_at, s.next_attempt_at),
            wakeup_id = null,
            changed_at = p_now
        from payout.transfer_requests as r
        where s.payout_transfer_id = any (p_payout_transfer_ids)
            and r.payout_transfer_id = s.payout_transfer_id
            and r.generation = s.generation
        returning s.*, r.request, 'ct_' || replace(gen_random_uuid()::text, '-', '') as claim_token
    ), opened as (
        insert into payout.transfer_attempts (
            payout_transfer_id, generation, attempt, worker, window_begins_at, claimed_at,
            lease_until, claim_token_sha256)
        select c.payout_transfer_id, c.generation, c.attempt, p_worker, c.window_begins_at, p_now,
            c.lease_until, sha256(convert_to(c.claim_token, 'UTF8'))
        from claimed as c
    )
    select
        c.payout_transfer_id, c.generation, c.attempt,
        t.payout_ref || ':' || c.generation, c.claim_token, c.request,
        extract(epoch from p_settings.lease_for)::double precision,
        extract(epoch from p_settings.http_deadline_for)::double precision,
        v_first + case when v_apart > 0 then v_apart
            * (array_position(p_payout_transfer_ids, c.payout_transfer_id) - 1) else 0 end,
        extract(epoch from p_now - c.window_begins_at)::double precision
    from claimed as c
    join payout.payout_transfers as t on t.payout_transfer_id = c.payout_transfer_id;
end
$$;
comment on function payout.open_attempts(
    bigint[], text, timestamptz, payout.engine_settings, boolean
) is 'Moves these transfers to in_flight; returns each with its key, token and request.';
-- frozen: procedures/claim/refuse_unsafe_database.sql 81b437becc50
create or replace function payout.refuse_unsafe_database(
    p_stripe_account_id text, p_is_livemode boolean, p_comparison_counts_for interval
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text := payout.identity_problem();
begin
    if v_problem is not null then
        raise exception 'no transfer is handed out: this database is not the one that was adopted'
            using
                errcode = 'SP403',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, '
                    'then select payout_api.adopt_database(reason).';
    end if;
    perform payout.bind_stripe_account(p_stripe_account_id, p_is_livemode);
    if not payout.is_compared(p_comparison_counts_for) then
        raise exception 'no transfer is handed out before Stripe''s newest transfers were compared'
            using
                errcode = 'SP405',
                hint = 'A worker compares them by itself, with a key that may read transfers.';
    end if;
end
$$;
comment on function payout.refuse_unsafe_database(text, boolean, interval) is
    'Refuses to go on in a database that is not adopted (SP403), for another Stripe account '
    '(SP404), or while Stripe''s newest transfers were not compared for so long, or not since the '
    'server started (SP405).';
-- frozen: procedures/claim/refuse_unsafe_server.sql 8110d03bfdf1
create or replace function payout.refuse_unsafe_server(p_stripe_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
begin
    v_problem := case
        when pg_is_in_recovery() then 'the server is in recovery'
        when current_setting('fsync') = 'off' then 'fsync is off'
        when current_setting('synchronous_commit') in ('off', 'local')
            then 'synchronous_commit is ' || current_setting('synchronous_commit')
        when current_setting('transaction_isolation') <> 'read committed'
            then 'the transaction is ' || current_setting('transaction_isolation')
        when payout.clock_differs(p_stripe_now)
            then format('the server''s clock says %s and Stripe''s %s',
                to_char(payout.clock() at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'),
                to_char(p_stripe_now at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC'))
    end;
    if v_problem is not null then
        raise exception 'no transfer is handed out while %', v_problem
            using
                errcode = 'SP401',
                hint = 'A claim must be as durable as the transfer it allows, see the newest '
                    'commits, and know how old a key is.';
    end if;
end
$$;
comment on function payout.refuse_unsafe_server(timestamptz) is
    'Refuses in recovery, with fsync or synchronous_commit off, outside read committed, and while '
    'the server''s clock is more than five minutes from the time at Stripe, if that is given.';
-- frozen: procedures/claim/within_caps.sql 39776b7c95ce
create or replace function payout.within_caps(p_payout_transfer_ids bigint[], p_now timestamptz)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_due record;
    v_cap record;
    v_allowed_ids bigint[] := '{}'::bigint[];
begin
    if not exists (select from payout.caps) then
        return p_payout_transfer_ids;
    end if;

    for v_due in
        select t as transfer, t.*, s.window_begins_at is not null as was_counted
        from unnest(p_payout_transfer_ids) with ordinality as i (payout_transfer_id, place)
        join payout.payout_transfers as t on t.payout_transfer_id = i.payout_transfer_id
        join payout.transfer_states as s on s.payout_transfer_id = i.payout_transfer_id
        order by i.place
    loop
        select * into v_cap
        from payout.exceeded_cap(v_due.transfer, p_now)
        where not v_due.was_counted;
        if found then
            update payout.transfer_states as s
            set hold_id = payout.begin_wait(
                v_cap.hold_scope, v_cap.subject, v_cap.reason, 'cap', v_cap.goes_on_at,
                v_cap.notifies)
            where s.payout_transfer_id = v_due.payout_transfer_id;
            continue;
        end if;
        v_allowed_ids := v_allowed_ids || v_due.payout_transfer_id;
        insert into payout.cap_uses as u (
            scope, subject, currency, begun_at, amount_minor, transfers)
        select c.scope, case c.scope when 'payee' then v_due.payee_id::text else '' end,
            c.currency,
            date_trunc(case c.scope when 'payee' then 'day' else 'hour' end, p_now, 'UTC'),
            v_due.amount_minor, 1
        from payout.caps as c
        where c.currency = v_due.currency and c.scope <> 'transfer' and not v_due.was_counted
        on conflict (scope, currency, subject) do update
        set begun_at = greatest(u.begun_at, excluded.begun_at),
            amount_minor = excluded.amount_minor
                + case when u.begun_at >= excluded.begun_at then u.amount_minor else 0 end,
            transfers = 1 + case when u.begun_at >= excluded.begun_at then u.transfers else 0 end;
    end loop;
    return v_allowed_ids;
end
$$;
comment on function payout.within_caps(bigint[], timestamptz) is
    'Returns those of the transfers that are within every cap, and lets the others wait.';
-- frozen: procedures/audit/account_totals_at.sql acc78bc77b46
create or replace function payout_api.account_totals_at(p_times timestamptz[], p_accounts text[])
returns table (
    at timestamptz,
    account text,
    currency payout.currency_code,
    debit_minor numeric,
    credit_minor numeric,
    debits bigint,
    credits bigint
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    with recursive steps (account, currency, last_account) as (
        select coalesce(a.account, ''), ''::text,
            coalesce(a.account, (select max(t.account) from payout.seal_subtotals as t))
        from unnest(coalesce(p_accounts, '{null}')) as a (account)
        union all
        select n.account, n.currency, s.last_account
        from steps as s
        cross join lateral (
            select t.account, t.currency::text
            from payout.seal_subtotals as t
            where (t.account, t.currency) > (s.account, s.currency) and t.account <= s.last_account
            order by t.account, t.currency
            limit 1
        ) as n
    ), ranges as materialized (
        select t.at, r.seal_id, r.first_id, r.last_id
        from unnest(p_times) as t (at)
        cross join lateral payout.ledger_ranges_at(t.at) as r
    )
    select b.at, b.account, b.currency, sum(b.debit_minor), sum(b.credit_minor),
        sum(b.debits)::bigint, sum(b.credits)::bigint
    from (
        select r.at, t.account, t.currency, t.debit_minor, t.credit_minor, t.debits, t.credits
        from ranges as r
        cross join steps as s
        cross join lateral (
            select t.* from payout.seal_subtotals as t
            where t.account = s.account and t.currency = s.currency and t.seal_id <= r.seal_id
            order by t.seal_id desc
            limit 1
        ) as t
        union all
        select w.at, a.account, e.currency, m.debit_minor, m.credit_minor, m.debits, m.credits
        from (
            select r.first_id, r.last_id, array_agg(r.at) as times
            from ranges as r
            where r.seal_id is null
            group by r.first_id, r.last_id
        ) as g
        cross join lateral (
            -- Kept apart by the offset, so that each range is read by its ids.
            select l.* from payout.ledger_entries as l
            where l.ledger_entry_id between g.first_id and g.last_id
            offset 0
        ) as e
        cross join lateral unnest(g.times) as w (at)
        cross join lateral (values
            (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
        ) as m (account, debit_minor, credit_minor, debits, credits)
        cross join lateral (values
            (m.account), (nullif(split_part(m.account, ':', 1), m.account))
        ) as a (account)
        where e.created_at <= w.at
            and (a.account = any (p_accounts) or (p_accounts is null and a.account is not null))
    ) as b
    group by b.at, b.account, b.currency
$$;
comment on function payout_api.account_totals_at(timestamptz[], text[]) is
    'For each time and account (null: every one): debits and credits in minor units, and how many, '
    'of the entries whose transaction had begun by then; payable is that of all payees.';
grant execute on function payout_api.account_totals_at(timestamptz[], text[])
    to payout_operator, payout_auditor;
-- frozen: procedures/audit/balances_as_of.sql a8fe0896ae85
create or replace function payout_api.balances_as_of(
    p_at timestamptz, p_payee_id text default null
)
returns table (
    account text,
    currency payout.currency_code,
    debit_minor numeric,
    credit_minor numeric,
    balance_minor numeric
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select t.account, t.currency, t.debit_minor, t.credit_minor, t.credit_minor - t.debit_minor
    from payout_api.account_totals_at(
        array[p_at], case when p_payee_id is not null then array['payable:' || p_payee_id] end) as t
    where t.account <> 'payable'
$$;
comment on function payout_api.balances_as_of(timestamptz, text) is
    'Credit minus debit of every account and currency, or of one payee''s, in minor units, of the '
    'entries whose transaction had begun by p_at and has committed; infinity: of all.';
grant execute on function payout_api.balances_as_of(timestamptz, text)
    to payout_operator, payout_auditor;
-- frozen: procedures/audit/catalogue.sql ab4f93d69825
create or replace function payout.catalogue()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
set bytea_output = 'hex'
set intervalstyle = 'postgres'
set quote_all_identifiers = off
as $$
    select * from payout.catalogue_relations()
    union all
    select * from payout.catalogue_rules()
    union all
    select * from payout.catalogue_functions()
    union all
    select * from payout.catalogue_rights()
    union all
    select * from payout.catalogue_rows()
$$;
comment on function payout.catalogue() is
    'Relations, columns, constraints, indexes, triggers, rules, policies, functions, types, event '
    'triggers, rights, roles and reference rows of the engine; deparsed is null where definition '
    'says it all.';
-- frozen: procedures/audit/catalogue_differences.sql 6f7a6dbe0f36
create or replace function payout_api.catalogue_differences()
returns table (object text, what text, recorded jsonb, present jsonb)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    with newest as (
        select c.objects,
            c.server_major = current_setting('server_version_num')::integer / 10000 as is_same_major
        from payout.catalogues as c
        order by c.catalogue_id desc
        limit 1
    )
    select object,
        case
            when r.definition is null then 'added'
            when p.definition is null then 'removed'
            else 'changed'
        end,
        r.definition, p.definition
    from (
        select o.key as object, o.value as definition
        from newest as n
        cross join lateral jsonb_each(n.objects) as o
    ) as r
    full join (
        select c.object, jsonb_build_array(c.definition, c.deparsed) as definition
        from payout.catalogue() as c
    ) as p using (object)
    where r.definition is distinct from p.definition
        and (
            coalesce((select n.is_same_major from newest as n), true)
            or r.definition -> 0 is distinct from p.definition -> 0)
    order by object
$$;
comment on function payout_api.catalogue_differences() is
    'One row for each object that was added, removed or changed since the catalogue was recorded; '
    'recorded and present are its definition, and its text as the server writes it.';
grant execute on function payout_api.catalogue_differences() to payout_operator, payout_auditor;
-- frozen: procedures/audit/catalogue_functions.sql 5cb8285f8610
create or replace function payout.catalogue_functions()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select
        format('function %s', p.oid::regprocedure),
        jsonb_build_array(
            p.prokind, l.lanname, p.proowner::regrole, sha256(convert_to(p.prosrc, 'UTF8')),
            p.prosecdef, p.proleakproof, p.proisstrict, p.provolatile, p.proparallel,
            p.prosupport, p.proconfig, p.proargnames, p.proargmodes,
            pg_get_function_result(p.oid))::text,
        concat_ws(' as ', pg_get_function_arguments(p.oid), pg_get_function_sqlbody(p.oid))
    from pg_proc as p
    join pg_language as l on l.oid = p.prolang
    where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        or (p.oid >= 16384 and p.pronamespace = 'pg_catalog'::regnamespace)
    union all
    select
        format('type %s', t.oid::regtype),
        jsonb_build_array(
            t.typtype, t.typowner::regrole, format_type(t.typbasetype, t.typtypmod),
            t.typnotnull, t.typcollation::regcollation, t.typdefault is not null)::text,
        t.typdefault
    from pg_type as t
    where t.typnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        and t.typtype <> 'c' and t.typcategory <> 'A'
    union all
    select format('operator %s', o.oid::regoperator), o.oprcode::regprocedure::text, null
    from pg_operator as o
    where o.oid >= 16384 and o.oprnamespace = 'pg_catalog'::regnamespace
    union all
    select format('cast %s to %s', k.castsource::regtype, k.casttarget::regtype),
        jsonb_build_array(k.castfunc::regprocedure, k.castcontext)::text, null
    from pg_cast as k
    join pg_type as s on s.oid = k.castsource and s.typnamespace = 'pg_catalog'::regnamespace
    join pg_type as t on t.oid = k.casttarget and t.typnamespace = 'pg_catalog'::regnamespace
    where k.oid >= 16384
    union all
    select
        format('event trigger %s', e.evtname),
        jsonb_build_array(
            e.evtevent, e.evtenabled, e.evttags, e.evtfoid::regprocedure,
            sha256(convert_to(p.prosrc, 'UTF8')))::text,
        null
    from pg_event_trigger as e
    join pg_proc as p on p.oid = e.evtfoid
$$;
comment on function payout.catalogue_functions() is 'Part of payout.catalogue().';
-- frozen: procedures/audit/catalogue_relations.sql 02cba9a5ea4e
create or replace function payout.catalogue_relations()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select c.*
        from pg_class as c
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
            and c.relkind not in ('i', 'I', 't')
    )
    select format('schema %s', n.nspname), n.nspowner::regrole::text, null
    from pg_namespace as n
    where n.nspname in ('payout', 'payout_api')
    union all
    select
        format('%s %s', case c.relkind
            when 'r' then 'table' when 'v' then 'view' when 'S' then 'sequence'
            when 'c' then 'type' else 'relation' end, c.oid::regclass),
        jsonb_build_array(
            c.relkind, c.relpersistence, c.relowner::regrole, c.relrowsecurity,
            c.relforcerowsecurity, (
                select array_agg(o order by o) from unnest(c.reloptions) as o
                where o !~ '^(autovacuum_|toast[._]|fillfactor|vacuum_|parallel_)'
            ), (
                select array_agg(a.attname order by a.attnum)
                from pg_attribute as a
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            ), (
                select to_jsonb(s) - '{seqrelid,seqtypid}'::text[]
                from pg_sequence as s where s.seqrelid = c.oid
            ))::text,
        case when c.relkind in ('v', 'm') then pg_get_viewdef(c.oid) end
    from ours as c
    union all
    select format('child %s of %s', i.inhrelid::regclass, i.inhparent::regclass), '', null
    from pg_inherits as i
    where exists (
        select from ours as c where c.oid in (i.inhrelid, i.inhparent)
    )
    union all
    select
        format('column %s.%s', c.oid::regclass, a.attname),
        jsonb_build_array(
            format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attgenerated,
            a.attcollation::regcollation, d.oid is not null)::text,
        pg_get_expr(d.adbin, d.adrelid)
    from ours as c
    join pg_attribute as a on a.attrelid = c.oid
    left join pg_attrdef as d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attnum > 0 and not a.attisdropped and c.relkind <> 'S'
$$;
comment on function payout.catalogue_relations() is 'Part of payout.catalogue().';
-- frozen: procedures/audit/catalogue_rights.sql 82a4b273c886
create or replace function payout.catalogue_rights()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select r.*
        from pg_roles as r
        where r.rolname ~ '^payout_(owner|app|worker|operator|approver|auditor)$'
    ), things (name, acl) as (
        select format('schema %s', n.nspname), coalesce(n.nspacl, acldefault('n', n.nspowner))
        from pg_namespace as n
        where n.nspname in ('payout', 'payout_api')
        union all
        select c.oid::regclass::text, coalesce(c.relacl, acldefault(
            case c.relkind when 'S' then 's' else 'r' end::"char", c.relowner))
        from pg_class as c
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
            and c.relkind not in ('i', 'I', 't', 'c')
        union all
        select format('%s.%s', a.attrelid::regclass, a.attname), a.attacl
        from pg_attribute as a
        join pg_class as c on c.oid = a.attrelid
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        union all
        select p.oid::regprocedure::text, coalesce(p.proacl, acldefault('f', p.proowner))
        from pg_proc as p
        where p.pronamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        union all
        select format('new objects %s of %s%s', d.defaclobjtype, d.defaclrole::regrole,
            ' in ' || nullif(d.defaclnamespace, 0)::regnamespace), d.defaclacl
        from pg_default_acl as d
        where d.defaclrole in (select o.oid from ours as o)
        union all
        select format('parameter %s', p.parname), p.paracl from pg_parameter_acl as p
    )
    select format('role %s', o.rolname),
        jsonb_build_array(
            o.rolsuper, o.rolcreaterole, o.rolcreatedb, o.rolcanlogin, o.rolreplication,
            o.rolbypassrls)::text, null
    from ours as o
    union all
    select distinct format('membership of %s in %s', o.rolname, m.roleid::regrole), '', null
    from pg_auth_members as m
    join ours as o on o.oid = m.member
    union all
    select
        format('rights of %s on %s',
            case a.grantee when 0 then 'public' else a.grantee::regrole::text end, t.name),
        string_agg(distinct a.privilege_type || case when a.is_grantable then '*' else '' end,
            ', '), null
    from things as t
    cross join lateral aclexplode(t.acl) as a
    left join ours as o on o.oid = a.grantee
    where case a.privilege_type
        when 'SELECT' then o.oid is not null
        when 'SET' then t.name = 'parameter session_replication_role'
        when 'USAGE' then o.oid is not null or t.name !~ '^schema '
        else a.privilege_type <> 'MAINTAIN' or o.rolname is distinct from 'payout_owner'
    end
    group by a.grantee, t.name
$$;
comment on function payout.catalogue_rights() is 'Part of payout.catalogue().';
-- frozen: procedures/audit/catalogue_rows.sql a4396d541fde
create or replace function payout.catalogue_rows()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format('row %s of %s', r.name, r.table_name), r.content::text, null
    from (
        select 'currencies', c.currency::text, to_jsonb(c) from payout.currencies as c
        where not exists (
            select from payout.operator_actions as a
            where a.action = 'add_currency' and a.subject = c.currency and a.details = to_jsonb(c)
        )
        union all
        select 'states', s.state, to_jsonb(s) from payout.states as s
        union all
        select 'situations', n.situation, to_jsonb(n) from payout.situations as n
        union all
        select 'state_edges', concat_ws(' to ', e.from_state, e.to_state), to_jsonb(e)
        from payout.state_edges as e
        union all
        select 'ledger_accounts', a.account, to_jsonb(a) from payout.ledger_accounts as a
        union all
        select 'stripe_error_rules', r.error_rule_id::text, to_jsonb(r)
        from payout.stripe_error_rules as r
        union all
        select 'discrepancy_kinds', k.kind, to_jsonb(k) from payout.discrepancy_kinds as k
        union all
        select 'seal_marks', m.table_name, '{}' from payout.seal_marks as m
        union all
        select 'caps', name, coalesce(p.content, 'null')
        from (
            select distinct on (a.subject) a.subject as name, a.details -> 'new' as content
            from payout.operator_actions as a
            where a.action = 'change_cap'
            order by a.subject, a.operator_action_id desc
        ) as r
        full join (
            select concat_ws(' ', c.scope, c.currency) as name, to_jsonb(c) as content
            from payout.caps as c
        ) as p using (name)
        where p.content is distinct from r.content
        union all
        select 'engine_settings', e.key, case
            when not exists (
                select from payout.operator_actions as a
                where a.action = 'change_setting' and a.subject = e.key
            ) then e.value
            when e.value = (
                select a.details -> 'new' from payout.operator_actions as a
                where a.action = 'change_setting' and a.subject = e.key
                order by a.operator_action_id desc limit 1
            ) then (
                select a.details -> 'old' from payout.operator_actions as a
                where a.action = 'change_setting' and a.subject = e.key
                order by a.operator_action_id limit 1
            )
        end
        from payout.engine_settings as s
        cross join lateral jsonb_each(to_jsonb(s)) as e
    ) as r (table_name, name, content)
$$;
comment on function payout.catalogue_rows() is 'Part of payout.catalogue().';
-- frozen: procedures/audit/catalogue_rules.sql 482a07141b5d
create or replace function payout.catalogue_rules()
returns table (object text, definition text, deparsed text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with ours as (
        select c.oid
        from pg_class as c
        where c.relnamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
    )
    select
        format('constraint %s on %s', k.conname, coalesce(
            nullif(k.conrelid, 0)::regclass::text, k.contypid::regtype::text)),
        jsonb_build_array(
            k.contype, k.condeferrable, k.condeferred, k.convalidated, k.connoinherit,
            coalesce(to_jsonb(k) ->> 'conenforced', 'true'), (
                select string_agg(t.tgenabled::text, '' order by t.tgenabled)
                from pg_trigger as t
                where t.tgconstraint = k.oid and t.tgisinternal
            ))::text,
        pg_get_constraintdef(k.oid)
    from pg_constraint as k
    where k.connamespace in ('payout'::regnamespace, 'payout_api'::regnamespace)
        and k.contype not in ('n', 't')
    union all
    select
        format('index %s', i.indexrelid::regclass),
        jsonb_build_array(
            i.indrelid::regclass, i.indisunique, i.indisprimary, i.indisvalid, i.indisready,
            i.indislive, i.indimmediate, i.indnullsnotdistinct, i.indpred is not null)::text,
        pg_get_indexdef(i.indexrelid)
    from pg_index as i
    join ours as c on c.oid = i.indrelid
    union all
    select
        format('trigger %s on %s', t.tgname, t.tgrelid::regclass),
        jsonb_build_array(
            t.tgenabled, t.tgfoid::regprocedure, t.tgtype, t.tgdeferrable, t.tginitdeferred,
            encode(t.tgargs, 'hex'), t.tgoldtable, t.tgnewtable, t.tgqual is not null)::text,
        pg_get_triggerdef(t.oid)
    from pg_trigger as t
    join ours as c on c.oid = t.tgrelid
    where not t.tgisinternal
    union all
    select format('rule %s on %s', r.rulename, r.ev_class::regclass),
        jsonb_build_array(r.ev_type, r.ev_enabled, r.is_instead)::text, pg_get_ruledef(r.oid)
    from pg_rewrite as r
    join ours as c on c.oid = r.ev_class
    where r.rulename <> '_RETURN'
    union all
    select format('policy %s on %s', p.polname, p.polrelid::regclass),
        jsonb_build_array(p.polcmd, p.polpermissive, p.polroles::regrole[])::text,
        concat_ws(' check ', pg_get_expr(p.polqual, p.polrelid),
            pg_get_expr(p.polwithcheck, p.polrelid))
    from pg_policy as p
    join ours as c on c.oid = p.polrelid
$$;
comment on function payout.catalogue_rules() is 'Part of payout.catalogue().';
-- frozen: procedures/audit/check_projection.sql e21c37eb85e0
create or replace function payout.check_projection(p_from bigint, p_to bigint)
returns table (payout_transfer_id bigint, column_name text, stored text, folded text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select payout_transfer_id, c.column_name, c.stored, c.folded
    from (
        select s.* from payout.transfer_states as s
        where s.payout_transfer_id between p_from and p_to
    ) as s
    full join payout.fold_facts(p_from, p_to) as f using (payout_transfer_id)
    cross join lateral (values
        ('state', s.state::text, f.state),
        ('generation', s.generation::text, f.generation::text),
        ('attempt', s.attempt::text, f.attempt::text),
        ('lease_until', s.lease_until::text, f.lease_until::text),
        ('stripe_transfer_id', s.stripe_transfer_id, f.stripe_transfer_id),
        ('window_begins_at', s.window_begins_at::text, f.window_begins_at::text),
        ('tries', s.tries::text, f.tries::text),
        ('has_unknown_send', s.has_unknown_send::text, f.has_unknown_send::text)
    ) as c (column_name, stored, folded)
    where c.stored is distinct from c.folded
    union all
    select payout_transfer_id, 'money', d.place, b.place
    from (
        select t.payout_transfer_id,
            format('%s %s %s',
                case
                    when s.state = 'paid' then 'stripe_balance'
                    when s.state = 'failed' then 'payable:' || t.payee_id
                    when s.state = 'settled_outside' then 'paid_outside'
                    else 'in_flight'
                end, t.amount_minor, t.currency) as place
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where s.state <> 'cancelled'
            and t.payout_transfer_id between p_from and p_to
            and s.payout_transfer_id between p_from and p_to
    ) as d
    full join payout.booked_states(p_from, p_to) as b using (payout_transfer_id)
    where d.place is distinct from b.place
    union all
    select payout_transfer_id, c.column_name, c.stored, c.told
    from payout.untold_outcomes(p_from, p_to) as u
    cross join lateral (values
        ('status', u.status, u.told_status),
        ('reversed_minor', u.reversed_minor::text, u.told_reversed_minor::text)
    ) as c (column_name, stored, told)
    where c.stored is distinct from c.told
    order by 1, 2
$$;
comment on function payout.check_projection(bigint, bigint) is
    'Part of payout_api.verify_projection().';
-- frozen: procedures/audit/check_seal.sql c1a65459e56d
create or replace function payout.check_seal(p_seal payout.seals)
returns table (table_name text, row_id bigint, seal_id bigint, what text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with changed as materialized (
        select r.row_id, r.what from payout.check_seal_rows(p_seal) as r
    )
    select 'seals', p_seal.seal_id, p_seal.seal_id, c.what
    from (
        select case
            when p_seal.seal_id > 1 and not exists (
                select from payout.seals as b where b.seal_id = p_seal.seal_id - 1
            ) then 'the seal before it is missing'
            when p_seal.seal_sha256 <> payout.seal_sha256(p_seal)
                then 'it was altered, or the seal before it was'
            when p_seal.first_id is distinct from coalesce((
                select max(b.last_id) + 1
                from payout.seals as b
                where b.table_name = p_seal.table_name and b.last_id < p_seal.last_id
            ), -9223372036854775808) then 'it does not begin where the one before it ended'
        end
    ) as c (what)
    where c.what is not null
    union all
    select p_seal.table_name, c.row_id, p_seal.seal_id, c.what
    from changed as c
    union all
    select 'seal_subtotals', null, p_seal.seal_id, format('%s %s is altered', account, currency)
    from (select s.* from payout.seal_subtotals as s where s.seal_id = p_seal.seal_id) as s
    full join payout.subtotals_of(p_seal) as b using (account, currency)
    where s is distinct from b
        and not exists (select from changed as c)
$$;
comment on function payout.check_seal(payout.seals) is
    'One row for each difference: in the seal itself, in the rows, in the sub-totals.';
-- frozen: procedures/audit/check_seal_rows.sql 81de0d77ee21
create or replace function payout.check_seal_rows(p_seal payout.seals)
returns table (row_id bigint, what text)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[];
    v_digests bytea[];
    v_rows_sha256 bytea;
begin
    select
        coalesce(array_agg(r.row_id), '{}'), coalesce(array_agg(substr(r.row_sha256, 1, 8)), '{}'),
        sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), ''))
    into v_ids, v_digests, v_rows_sha256
    from payout.sealed_rows_v1(
        p_seal.table_name, p_seal.first_id, p_seal.last_id, null) as r;
    if v_rows_sha256 = p_seal.rows_sha256 then
        return;
    end if;

    return query
    select coalesce(n.row_id, s.row_id), case
        when s.row_id is null then 'slipped in'
        when n.row_id is null then 'removed'
        else 'altered'
    end
    from unnest(v_ids, v_digests) as n (row_id, digest)
    full join (
        select i.row_id, substr(p_seal.row_digests, i.position::integer * 8 - 7, 8) as digest
        from (
            select g.row_id, row_number() over (order by g.row_id) as position
            from unnest(p_seal.row_ids) as r
            cross join lateral generate_series(lower(r), upper(r) - 1) as g (row_id)
        ) as i
    ) as s on s.row_id = n.row_id
    where s.digest is distinct from n.digest
    order by 1;
    -- The digest of the altered row begins like that of the row it replaces.
    if not found then
        return query select null::bigint, 'altered';
    end if;
end
$$;
comment on function payout.check_seal_rows(payout.seals) is
    'Rows that were altered, removed or slipped in; none: all is well.';
-- frozen: procedures/audit/end_of_step.sql 35d2eda0839f
create or replace function payout.end_of_step(p_from bigint, p_to bigint)
returns bigint
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select coalesce((
        select t.payout_transfer_id - 1
        from payout.payout_transfers as t
        where t.payout_transfer_id between p_from and p_to
        order by t.payout_transfer_id
        offset 50000
        limit 1), p_to)
$$;
comment on function payout.end_of_step(bigint, bigint) is
    'The number before the one with which the next step begins; p_to: it is the last step.';
-- frozen: procedures/audit/first_unsealed_rows.sql bbe7f27f3467
create or replace function payout.first_unsealed_rows()
returns table (table_name text, row_at timestamptz, marked_at timestamptz)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select m.table_name, r.row_at, m.marked_at
    from payout.seal_marks as m
    cross join lateral payout.sealed_rows_v1(
        m.table_name,
        coalesce(
            (select max(s.last_id) + 1 from payout.seals as s where s.table_name = m.table_name),
            -9223372036854775808),
        9223372036854775807, 1) as r
$$;
comment on function payout.first_unsealed_rows() is
    'Each with its time, and the time of the mark that its table has; no row: all are sealed.';
-- frozen: procedures/audit/ledger_page.sql 6bb1470e47ca
create or replace function payout_api.ledger_page(
    p_from timestamptz,
    p_to timestamptz,
    p_after bigint default -9223372036854775808,
    p_limit integer default 1000
)
returns table (
    entry_id bigint,
    booked_at timestamptz,
    kind text,
    debit_account text,
    credit_account text,
    amount numeric,
    amount_minor bigint,
    currency text,
    settlement_id text,
    payee_id text,
    transfer_id bigint,
    stripe_transfer_id text,
    stripe_reversal_id text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    select e.ledger_entry_id, e.created_at, e.kind, e.debit_account, e.credit_account,
        e.amount_minor * c.minor_unit, e.amount_minor, e.currency, t.settlement_id, t.payee_id,
        e.payout_transfer_id, s.stripe_transfer_id, e.stripe_reversal_id
    from (
        select l.*
        from payout.ledger_entries as l
        where l.ledger_entry_id > coalesce(p_after, -9223372036854775808)
            and l.ledger_entry_id >= payout.first_entry_id(p_from)
            and l.created_at >= p_from and l.created_at < p_to
        order by l.ledger_entry_id
        limit greatest(coalesce(p_limit, 1000), 0)
    ) as e
    join payout.payout_transfers as t on t.payout_transfer_id = e.payout_transfer_id
    join payout.transfer_states as s on s.payout_transfer_id = e.payout_transfer_id
    left join payout.currencies as c on c.currency = e.currency
    order by e.ledger_entry_id
$$;
comment on function payout_api.ledger_page(timestamptz, timestamptz, bigint, integer) is
    'The first p_limit entries with an id above p_after that were booked from p_from on and before '
    'p_to: accounts, amount in the currency itself and in minor units, settlement, payee, '
    'transfer, and Stripe''s ids of it.';
grant execute on function payout_api.ledger_page(timestamptz, timestamptz, bigint, integer)
    to payout_operator, payout_auditor;
-- frozen: procedures/audit/ledger_ranges_at.sql 3ac88069a677
create or replace function payout.ledger_ranges_at(p_at timestamptz)
returns table (seal_id bigint, first_id bigint, last_id bigint)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    (
        -- Times grow with ids here, so this is the index of the time.
        select s.seal_id, null::bigint, null::bigint
        from payout.seals as s
        where s.table_name = 'ledger_entries' and s.rows_until <= p_at
        order by s.rows_until desc, s.last_id desc
        limit 1
    )
    union all
    select null, s.first_id, s.last_id
    from payout.seals as s
    where s.table_name = 'ledger_entries'
        and tstzrange(s.rows_from, s.rows_until, '[)') @> p_at
    union all
    select null, coalesce(max(s.last_id) + 1, -9223372036854775808), 9223372036854775807
    from payout.seals as s
    where s.table_name = 'ledger_entries'
$$;
comment on function payout.ledger_ranges_at(timestamptz) is
    'One row with seal_id, if a seal was over by then, and one for each range of ids to be read.';
-- frozen: procedures/audit/ledger_totals.sql 1244e61769b9
create or replace function payout_api.ledger_totals(p_from timestamptz, p_to timestamptz)
returns table (
    account text,
    currency payout.currency_code,
    accounts bigint,
    debit_minor numeric,
    credit_minor numeric,
    opening numeric,
    debit numeric,
    credit numeric,
    closing numeric
)
language sql
stable
strict
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
    select t.account, t.currency, t.accounts, t.debit_minor, t.credit_minor,
        t.opening_minor * c.minor_unit, t.debit_minor * c.minor_unit,
        t.credit_minor * c.minor_unit, t.closing_minor * c.minor_unit
    from (
        select split_part(b.account, ':', 1) as account, b.currency,
            count(*) filter (where b.sign = 1) as accounts,
            sum(b.debit_minor * b.sign) as debit_minor,
            sum(b.credit_minor * b.sign) as credit_minor,
            coalesce(sum(b.balance_minor) filter (where b.sign = -1), 0) as opening_minor,
            coalesce(sum(b.balance_minor) filter (where b.sign = 1), 0) as closing_minor
        from (
            select a.*, -1 as sign
            from payout_api.balances_as_of(p_from - interval '1 microsecond') as a
            union all
            select z.*, 1
            from payout_api.balances_as_of(p_to - interval '1 microsecond') as z
        ) as b
        group by split_part(b.account, ':', 1), b.currency
    ) as t
    left join payout.currencies as c on c.currency = t.currency
    order by t.currency, t.account
$$;
comment on function payout_api.ledger_totals(timestamptz, timestamptz) is
    'Per account and currency, payable for those of all payees: how many accounts they are, debit '
    'and credit of the entries from p_from on and before p_to, in minor units and in the currency '
    'itself, between the balances before and after. Null for a time: no rows.';
grant execute on function payout_api.ledger_totals(timestamptz, timestamptz)
    to payout_operator, payout_auditor;
-- frozen: procedures/audit/money_flow.sql bf7fbd8ef325
create or replace function payout_api.money_flow(p_from timestamptz, p_to timestamptz)
returns table (
    day date,
    currency payout.currency_code,
    transfers_settled bigint,
    transfers_paid bigint,
    settled_minor numeric,
    paid_minor numeric,
    failed_minor numeric,
    taken_back_minor numeric,
    settled numeric,
    paid numeric,
    failed numeric,
    taken_back numeric
)
language sql
stable
strict
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
set enable_seqscan = off
set enable_bitmapscan = off
as $$
    with beginning as (
        -- The earliest entry may not be the first by its number.
        select greatest(p_from, least(min(s.rows_from), (
            select min(l.created_at) from payout.ledger_entries as l
            where l.ledger_entry_id > coalesce(max(s.last_id), -9223372036854775808)))) as at
        from payout.seals as s
        where s.table_name = 'ledger_entries'
    ), moments as (
        -- The ends of the interval and the midnights between them.
        select d.at, lag(d.at) over (order by d.at) as former
        from beginning as b
        cross join lateral (
            select b.at
            union
            select m.at
            from generate_series(date_trunc('day', b.at) + interval '1 day',
                least(p_to, now() + interval '1 day'), interval '1 day') as m (at)
            where m.at < p_to
            union
            select p_to
        ) as d (at)
        where isfinite(b.at) and b.at < p_to
    ), totals as materialized (
        -- A microsecond is the smallest step of time here.
        select t.at + interval '1 microsecond' as at, t.account, t.currency, t.debit_minor,
            t.credit_minor, t.debits, t.credits
        from payout_api.account_totals_at(
            array(select m.at - interval '1 microsecond' from moments as m),
            '{settlement_funds,payable,stripe_balance}') as t
    ), flow as (
        select m.former::date as day, t.currency,
            sum(case t.account when 'settlement_funds' then t.debits else 0 end * x.sign)
                as settled_count,
            sum(case t.account when 'stripe_balance' then t.credits else 0 end * x.sign)
                as paid_count,
            sum(case t.account when 'settlement_funds' then t.debit_minor else 0 end * x.sign)
                as settled,
            sum(case t.account when 'stripe_balance' then t.credit_minor else 0 end * x.sign)
                as paid,
            sum(case t.account when 'payable' then t.credit_minor else -t.debit_minor end * x.sign)
                as failed,
            sum(case t.account when 'stripe_balance' then t.debit_minor else 0 end * x.sign)
                as taken_back
        from moments as m
        cross join lateral (values (m.former, -1), (m.at, 1)) as x (at, sign)
        join totals as t on t.at = x.at
        where m.former is not null
        group by m.former::date, t.currency
    )
    select f.day, f.currency, f.settled_count::bigint, f.paid_count::bigint,
        f.settled, f.paid, f.failed, f.taken_back,
        f.settled * c.minor_unit, f.paid * c.minor_unit, f.failed * c.minor_unit,
        f.taken_back * c.minor_unit
    from flow as f
    left join payout.currencies as c on c.currency = f.currency
    where (f.settled, f.paid, f.failed, f.taken_back) <> (0, 0, 0, 0)
    order by f.day, f.currency
$$;
comment on function payout_api.money_flow(timestamptz, timestamptz) is
    'For each day (UTC) and currency in which any was booked: the amounts that settlements owed, '
    'that were paid, that were declined, and that Stripe took back, in minor units and in the '
    'currency itself. From p_from on, before p_to. Null for a time: no rows.';
grant execute on function payout_api.money_flow(timestamptz, timestamptz)
    to payout_operator, payout_auditor;
-- frozen: procedures/audit/record_catalogue.sql 22227e6f6fc4
create or replace function payout.record_catalogue(p_reason text)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    insert into payout.catalogues (objects, reason)
    select
        jsonb_object_agg(c.object, jsonb_build_array(c.definition, c.deparsed)), p_reason
    from payout.catalogue() as c
    having exists (select from payout_api.catalogue_differences()) or (
        select n.server_major from payout.catalogues as n order by n.catalogue_id desc limit 1
    ) is distinct from current_setting('server_version_num')::integer / 10000
$$;
comment on function payout.record_catalogue(text) is
    'Records every object of the catalogue, with the reason and the login, for the doctor to '
    'compare with.';
-- frozen: procedures/audit/seal.sql 5e6400aaed76
create or replace function payout_api.seal(p_limit integer default 10000)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
as $$
declare
    v_now timestamptz := payout.clock();
    v_mark payout.seal_marks;
    v_sealed integer := 0;
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'seal of % rows', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;

    -- The first mark is the lock: there is one chain, hence one sealer at a time.
    perform
    from payout.seal_marks as m
    where m.table_name = (select min(f.table_name) from payout.seal_marks as f)
        and exists (
            select from payout.seal_marks as d
            where d.marked_at <= v_now - interval '1 minute' or d.marked_at > v_now
        )
    for update skip locked;
    if not found then
        return 0;
    end if;

    for v_mark in
        select m.*
        from payout.seal_marks as m
        where m.marked_at <= v_now - interval '1 minute' or m.marked_at > v_now
        order by m.table_name
    loop
        begin
            v_sealed := v_sealed + payout.seal_up_to_mark(v_mark, v_now, p_limit);
        exception
            when integrity_constraint_violation or data_exception
                or sqlstate 'SP103' or sqlstate 'SP201' then
                -- The other tables, and the sweep, go on; the doctor tells of seals that are late.
                raise log 'payout: % cannot be sealed: %', v_mark.table_name, sqlerrm;
        end;
    end loop;
    return v_sealed;
end
$$;
comment on function payout_api.seal(integer) is
    'Seals rows of payout_api.sealed_rows that no new row can precede, about p_limit of each '
    'table; returns how many. Safe to repeat.';
grant execute on function payout_api.seal(integer) to payout_worker, payout_operator;
-- frozen: procedures/audit/seal_head.sql 0f9f23166007
create or replace function payout_api.seal_head()
returns text
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select s.seal_id || ':' || encode(s.seal_sha256, 'hex')
    from payout.seals as s
    order by s.seal_id desc
    limit 1
$$;
comment on function payout_api.seal_head() is
    'Number and hash of the newest seal; null before the first.';
grant execute on function payout_api.seal_head() to payout_operator, payout_auditor;
-- frozen: procedures/audit/seal_sha256.sql c19f48cc741f
create or replace function payout.seal_sha256(p_seal payout.seals)
returns bytea
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select sha256(
        coalesce(
            (select b.seal_sha256 from payout.seals as b where b.seal_id = p_seal.seal_id - 1), '')
        || convert_to(jsonb_build_array(
            p_seal.seal_id, p_seal.seal_version, p_seal.table_name, p_seal.first_id,
            p_seal.last_id, p_seal.row_ids::text, encode(p_seal.row_digests, 'hex'),
            encode(p_seal.rows_sha256, 'hex'), extract(epoch from p_seal.rows_from)::text,
            extract(epoch from p_seal.rows_until)::text,
            extract(epoch from p_seal.sealed_at)::text)::text, 'UTF8'))
$$;
comment on function payout.seal_sha256(payout.seals) is
    'SHA-256 of the former hash, followed by the other columns as a JSON array.';
-- frozen: procedures/audit/seal_up_to_mark.sql 188671ee0ba3
create or replace function payout.seal_up_to_mark(
    p_mark payout.seal_marks, p_now timestamptz, p_limit integer
)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The newest seal of the table, out of which the next one is made.
    v_seal payout.seals;
    v_sealed integer := 0;
begin
    -- A mark out of the future is of another cluster, or of a clock that was set back.
    if p_mark.marked_at <= p_now
        and p_mark.marked_xid <= pg_snapshot_xmax(pg_current_snapshot()) then
        if p_mark.marked_xid > pg_snapshot_xmin(pg_current_snapshot()) then
            return 0;
        end if;
        select * into v_seal
        from payout.seals as s
        where s.table_name = p_mark.table_name
        order by s.last_id desc
        limit 1;
        while coalesce(v_seal.last_id, -9223372036854775808) < p_mark.marked_id loop
            if v_sealed >= p_limit then
                return v_sealed;
            end if;
            v_seal.seal_id := 1 + coalesce((select max(s.seal_id) from payout.seals as s), 0);
            v_seal.seal_version := 1;
            v_seal.table_name := p_mark.table_name;
            -- From the lowest number there is: ids below 1 could be slipped in.
            v_seal.first_id := coalesce(v_seal.last_id + 1, -9223372036854775808);
            v_seal.sealed_at := p_now;
            select
                coalesce(range_agg(int8range(r.row_id, r.row_id, '[]')), '{}'),
                coalesce(string_agg(substr(r.row_sha256, 1, 8), '' order by r.row_id), ''),
                sha256(coalesce(string_agg(r.row_sha256, '' order by r.row_id), '')),
                min(r.row_at), greatest(v_seal.rows_until, max(r.row_at)),
                case when count(*) < 1000 then p_mark.marked_id else max(r.row_id) end
            into v_seal.row_ids, v_seal.row_digests, v_seal.rows_sha256, v_seal.rows_from,
                v_seal.rows_until, v_seal.last_id
            from payout.sealed_rows_v1(
                p_mark.table_name, v_seal.first_id, p_mark.marked_id, 1000) as r;
            v_seal.seal_sha256 := payout.seal_sha256(v_seal);
            insert into payout.seals select v_seal.*;
            insert into payout.seal_subtotals select b.* from payout.subtotals_of(v_seal) as b;
            v_sealed := v_sealed + octet_length(v_seal.row_digests) / 8;
        end loop;
    end if;

    -- One query, hence one snapshot: its end bounds the newest row that it sees.
    update payout.seal_marks as m
    set marked_id = (
            select r.row_id from payout_api.sealed_rows as r
            where r.table_name = p_mark.table_name order by r.row_id desc limit 1),
        marked_xid = pg_snapshot_xmax(pg_current_snapshot()),
        marked_at = p_now
    where m.table_name = p_mark.table_name;
    return v_sealed;
end
$$;
comment on function payout.seal_up_to_mark(payout.seal_marks, timestamptz, integer) is
    'Seals about p_limit rows at most, a thousand under each seal, with the sub-totals of the '
    'ledger; returns the number of rows.';
-- frozen: procedures/audit/sealed_rows_v1.sql 00f45f3bb2ad
create or replace function payout.sealed_rows_v1(
    p_table_name text, p_first_id bigint, p_last_id bigint, p_limit integer
)
returns table (row_id bigint, row_at timestamptz, row_sha256 bytea)
language plpgsql
stable
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set bytea_output = 'hex'
as $$
begin
    return query
    select r.row_id, r.row_at, payout.json_sha256(jsonb_strip_nulls(r.content))
    from payout_api.sealed_rows as r
    where r.table_name = p_table_name and r.row_id between p_first_id and p_last_id
    order by r.row_id
    limit p_limit;
end
$$;
comment on function payout.sealed_rows_v1(text, bigint, bigint, integer) is
    'Up to p_limit rows of a table in a range of ids (inclusive), in order, with the SHA-256 that '
    'seals of version 1 cover.';
-- frozen: procedures/audit/subtotals_of.sql a4f776f76f17
create or replace function payout.subtotals_of(p_seal payout.seals)
returns setof payout.seal_subtotals
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select m.account, m.currency, p_seal.seal_id,
        coalesce(f.debit_minor, 0) + m.debit_minor,
        coalesce(f.credit_minor, 0) + m.credit_minor,
        coalesce(f.debits, 0) + m.debits,
        coalesce(f.credits, 0) + m.credits
    from (
        select a.account, e.currency, sum(x.debit_minor) as debit_minor,
            sum(x.credit_minor) as credit_minor, sum(x.debits) as debits,
            sum(x.credits) as credits
        from payout.ledger_entries as e
        cross join lateral (values
            (e.debit_account, e.amount_minor, 0, 1, 0), (e.credit_account, 0, e.amount_minor, 0, 1)
        ) as x (account, debit_minor, credit_minor, debits, credits)
        cross join lateral (values
            (x.account), (nullif(split_part(x.account, ':', 1), x.account))
        ) as a (account)
        where p_seal.table_name = 'ledger_entries'
            and e.ledger_entry_id between p_seal.first_id and p_seal.last_id
            and a.account is not null
        group by a.account, e.currency
    ) as m
    left join lateral (
        select t.debit_minor, t.credit_minor, t.debits, t.credits
        from payout.seal_subtotals as t
        where t.account = m.account and t.currency = m.currency and t.seal_id < p_seal.seal_id
        order by t.seal_id desc
        limit 1
    ) as f on true
$$;
comment on function payout.subtotals_of(payout.seals) is
    'Debits and credits in minor units, and how many, from the first entry to the last of the '
    'range; no row for a seal of another table.';
-- frozen: procedures/audit/verify_projection.sql dbea6c22912b
create or replace function payout_api.verify_projection(
    p_from bigint default null, p_to bigint default null
)
returns table (payout_transfer_id bigint, column_name text, stored text, folded text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_nestloop = off
set enable_seqscan = off
as $$
declare
    v_from bigint := coalesce(p_from, -9223372036854775808);
    v_last bigint := coalesce(p_to, 9223372036854775807);
    v_to bigint;
    v_rows bigint;
    v_found bigint := 0::bigint;
begin
    loop
        v_to := payout.end_of_step(v_from, v_last);
        return query select * from payout.check_projection(v_from, v_to);
        get diagnostics v_rows = row_count;
        v_found := v_found + v_rows;
        exit when v_to >= v_last;
        raise notice 'transfers up to % are verified, of %; % found', v_to,
            least(v_last, (select max(t.payout_transfer_id) from payout.payout_transfers as t)),
            v_found;
        v_from := v_to + 1;
    end loop;
end
$$;
comment on function payout_api.verify_projection(bigint, bigint) is
    'One row for each difference between transfer_states (stored) and the fold of the facts '
    '(folded), of the transfers from p_from to p_to (null: from the first, to the last); column '
    'money compares the account that the state implies with the books. None: all is well.';
grant execute on function payout_api.verify_projection(bigint, bigint)
    to payout_operator, payout_auditor;
-- frozen: procedures/audit/verify_seals.sql 4ee516139daf
create or replace function payout_api.verify_seals(
    p_from bigint default 1, p_to bigint default null, p_head text default null
)
returns table (table_name text, row_id bigint, seal_id bigint, what text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set plan_cache_mode = force_custom_plan
as $$
declare
    v_last bigint := least(p_to, coalesce((select max(s.seal_id) from payout.seals as s), 0));
    v_known text[] := '{}'::text[];
begin
    if p_from is null or (p_from <> 1 and not exists (
        select from payout.seals as s where s.seal_id = p_from
    )) then
        raise exception 'there is no seal %', coalesce(p_from::text, 'null')
            using
                errcode = 'SP330',
                hint = 'select min(seal_id), max(seal_id) from payout.seals';
    end if;
    if p_head !~ '^[1-9][0-9]{0,17}:[0-9a-f]{64}$' then
        raise exception 'head % is malformed', p_head
            using
                errcode = 'SP330',
                hint = 'Give a result of payout_api.seal_head(): number, colon, 64 hex digits.';
    end if;

    for v_first in p_from::integer .. greatest(v_last, p_from)::integer by 1000 loop
        for table_name, row_id, seal_id, what in
            select distinct on (d.table_name) d.table_name, d.row_id, d.seal_id, d.what
            from (
                select c.*
                from payout.seals as s
                cross join lateral payout.check_seal(s) as c
                where s.seal_id between v_first and least(v_first + 999, v_last)
                union all
                select 'seals', h.seal_id, h.seal_id, 'it is not the seal that the kept head names'
                from (select split_part(p_head, ':', 1)::bigint, split_part(p_head, ':', 2))
                    as h (seal_id, sha256)
                where p_head is not null and v_first = p_from and not exists (
                    select from payout.seals as s
                    where s.seal_id = h.seal_id and s.seal_sha256 = decode(h.sha256, 'hex')
                )
            ) as d
            where d.table_name <> all (v_known)
            order by d.table_name, d.seal_id, d.row_id
        loop
            v_known := v_known || table_name;
            return next;
        end loop;
        if v_first + 999 < v_last then
            raise notice 'seals up to % are verified, of %; % found', v_first + 999, v_last,
                cardinality(v_known);
        end if;
    end loop;
end
$$;
comment on function payout_api.verify_seals(bigint, bigint, text) is
    'Recomputes seals from p_from to p_to (null: the newest) and returns per table the first '
    'row that was altered, removed or slipped in, table seals for the chain itself; nothing when '
    'all is as it was sealed.';
grant execute on function payout_api.verify_seals(bigint, bigint, text)
    to payout_operator, payout_auditor;
-- frozen: procedures/sweep/end_due_holds.sql 4c8cad9020d2
create or replace function payout.end_due_holds(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    perform payout.end_holds(array(
        select h.hold_id
        from payout.holds as h
        where h.released_at is null
            and (h.expires_at <= p_now
                or h.awaits in ('cap', 'account_change') and h.goes_on_at <= p_now)
        order by h.hold_id
        for update skip locked), 'engine', 'its time is over');
    perform payout.end_holds(array(
        select h.hold_id
        from payout.holds as h
        where h.released_at is null
            and h.awaits in ('funds', 'account')
            and exists (
                select from payout.transfer_states as s
                where s.payout_transfer_id = h.probe_transfer_id and s.state = 'paid'
            )
        order by h.hold_id
        for update skip locked), 'engine', 'its transfer was paid');
end
$$;
comment on function payout.end_due_holds(timestamptz) is
    'Releases the holds that were placed until a time that has come, and the waits whose transfer '
    'was paid.';
-- frozen: procedures/sweep/expire_leases.sql 49dd4e629b21
create or replace function payout.expire_leases(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return payout.record_expiries('lease_expired', array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        cross join payout.engine_settings as e
        where (s.lease_until < p_now
                or (s.lease_until > payout.clock() + 2 * e.lease_for and exists (
                    select from payout.transfer_attempts as a
                    where a.payout_transfer_id = s.payout_transfer_id
                        and a.generation = s.generation
                        and a.attempt = s.attempt
                        and a.claimed_at > payout.clock() + e.lease_for)))
        order by s.lease_until
        limit p_limit
        for update of s skip locked
        for key share of t skip locked));
end
$$;
comment on function payout.expire_leases(timestamptz, integer) is
    'Closes up to p_limit leases and returns how many: a transfer '
    'is due at once, or parked when its tries are used up.';
-- frozen: procedures/sweep/heartbeat.sql 349eccf226c5
create or replace function payout_api.heartbeat(
    p_worker text, p_release text, p_is_last boolean default false
)
returns table (is_on_hold boolean)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ours integer[] := string_to_array(payout_api.release(), '.')::integer[];
    v_theirs integer[] := regexp_match(p_release, '^([0-9]{1,6})[.]([0-9]{1,6})')::integer[];
begin
    if coalesce(btrim(p_worker), '') = '' or coalesce(btrim(p_release), '') = '' then
        raise exception 'heartbeat of % with release %', coalesce(p_worker, 'no worker'),
            coalesce(p_release, 'null')
            using
                errcode = 'SP311',
                hint = 'Name the worker and its release.';
    end if;
    if v_theirs[1] is distinct from v_ours[1] or abs(v_theirs[2] - v_ours[2]) > 1 then
        raise exception 'the worker is of release %, and the database of %', p_release,
            payout_api.release()
            using
                errcode = 'SP406',
                hint = 'Workers of the release before go on during an upgrade. Replace this one.';
    end if;
    insert into payout.workers as w (worker, release, has_ended)
    values (p_worker, p_release, coalesce(p_is_last, false))
    on conflict (worker) do update
    set release = excluded.release,
        last_seen_at = clock_timestamp(),
        has_ended = excluded.has_ended;
    delete from payout.workers as w
    where w.worker in (
        select o.worker
        from payout.workers as o
        where o.last_seen_at < clock_timestamp() - interval '7 days'
        for update skip locked
    );
    return query
    select exists (
        select from payout.holds as h
        where h.scope = 'worker' and h.subject = p_worker and h.released_at is null
    );
end
$$;
comment on function payout_api.heartbeat(text, text, boolean) is
    'Notes the worker with its release and the time, or that it ends, for the doctor and '
    'payout_api.workers; tells whether it is on hold; refuses one that is more than '
    'one release away from the schema.';
grant execute on function payout_api.heartbeat(text, text, boolean) to payout_worker;
-- frozen: procedures/sweep/judge_listed_transfers.sql f5fe0b05ee6b
create or replace function payout.judge_listed_transfers(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[];
begin
    if not exists (select from payout.listed_transfers) then
        return;
    end if;
    v_ids := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.next_attempt_at <= p_now
            and s.hold_id is null
            and s.state in ('scheduled', 'retry_wait', 'unknown')
            and t.payout_ref = any (array(
                select l.payout_ref from payout.listed_transfers as l))
        limit p_limit
        for update of s skip locked
        for key share of t skip locked);

    perform payout.record_listed_transfers(array(
        select l.stripe_transfer_id
        from payout.payout_transfers as t
        join payout.listed_transfers as l on l.payout_ref = t.payout_ref
        where t.payout_transfer_id = any (v_ids)));
end
$$;
comment on function payout.judge_listed_transfers(timestamptz, integer) is
    'Judges up to p_limit transfers, which are then paid or parked.';
-- frozen: procedures/sweep/let_through.sql c1be5d9e2118
create or replace function payout.let_through(p_hold payout.holds, p_now timestamptz)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    with chosen as (
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.hold_id = p_hold.hold_id
            and s.next_attempt_at <= p_now
            and payout.progress_problem(s) is null
            and not exists (
                select from payout.holds as h
                where h.released_at is null
                    and coalesce(h.awaits not in ('funds', 'account'), true)
                    and (h.scope, h.subject) in (
                        ('currency', t.currency::text), ('payee', t.payee_id::text),
                        ('settlement', t.settlement_id::text),
                        ('transfer', t.payout_transfer_id::text))
            )
        order by s.state = 'scheduled' and s.next_attempt_at <= p_now - (
                select e.send_window_for from payout.engine_settings as e),
            s.state = 'failed',
            s.payout_transfer_id is not distinct from p_hold.probe_transfer_id, s.next_attempt_at
        limit 1
        for update of s skip locked
    )
    update payout.transfer_states as s
    set hold_id = null,
        next_lookup_at = case s.state when 'failed' then p_now else s.next_lookup_at end
    from chosen as c
    where s.payout_transfer_id = c.payout_transfer_id
    returning s.payout_transfer_id
$$;
comment on function payout.let_through(payout.holds, timestamptz) is
    'Returns the transfer; null: each is locked or on another hold.';
-- frozen: procedures/sweep/look_for_accounts.sql 2ff9df219744
create or replace function payout.look_for_accounts(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := array(
        select w.payout_transfer_id
        from payout.account_waits as w
        where w.next_look_at <= p_now
        order by w.next_look_at
        limit p_limit
        for update skip locked);
begin
    if v_ids = '{}' then
        return;
    end if;
    perform payout.date_waiting_transfers(v_ids);
    update payout.account_waits as w
    set looks = w.looks + 1,
        next_look_at = p_now + interval '5 seconds' * 2 ^ least(w.looks, 14)
    where w.payout_transfer_id = any (v_ids) and w.next_look_at is not null;
end
$$;
comment on function payout.look_for_accounts(timestamptz, integer) is
    'Looks at up to p_limit transfers that are to be looked at, and gives those whose payee has an '
    'account their date.';
-- frozen: procedures/sweep/mark_held_transfers.sql fba5940253f3
create or replace function payout.mark_held_transfers(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_scopes text[] := array(
        select s.scope
        from unnest('{currency,payee,settlement,transfer}'::text[]) as s (scope)
        where exists (
            select from payout.holds as h where h.scope = s.scope and h.released_at is null
        ));
    v_marked integer;
begin
    for v_round in 1 .. 10 loop
        exit when v_scopes = '{}';
        with due as materialized (
            select s.payout_transfer_id, s.window_begins_at,
                s.payout_transfer_id in (select payout.let_through_ids()) as is_let_through
            from payout.transfer_states as s
            where s.next_attempt_at <= p_now
                and s.hold_id is null
                and s.state in ('scheduled', 'retry_wait', 'unknown')
            order by s.next_attempt_at
            limit 500
        ), held as materialized (
            select t.payout_transfer_id, h.hold_id
            from due as d
            join payout.payout_transfers as t on t.payout_transfer_id = d.payout_transfer_id
            cross join lateral (values
                ('currency', t.currency::text), ('payee', t.payee_id::text),
                ('settlement', t.settlement_id::text), ('transfer', t.payout_transfer_id::text)
            ) as x (scope, subject)
            cross join lateral (
                select h.hold_id
                from payout.holds as h
                where h.released_at is null and (h.scope, h.subject) = (x.scope, x.subject)
                    and (h.awaits is null or (
                        d.window_begins_at is null
                        and (h.awaits in ('cap', 'account_change') or not d.is_let_through)
                        and (h.awaits <> 'funds' or t.source_transaction is null)))
                offset 0
            ) as h
            where x.scope = any (v_scopes)
        ), kept as materialized (
            select h.hold_id from payout.holds as h
            where h.hold_id in (select d.hold_id from held as d) and h.released_at is null
            for share skip locked
        ), free as materialized (
            select s.payout_transfer_id from payout.transfer_states as s
            where s.payout_transfer_id in (select d.payout_transfer_id from held as d)
                and s.state in ('scheduled', 'retry_wait', 'unknown')
                and payout.progress_problem(s) is null
            for update skip locked
        )
        update payout.transfer_states as s
        set hold_id = d.hold_id
        from held as d
        join kept as k on k.hold_id = d.hold_id
        join free as f on f.payout_transfer_id = d.payout_transfer_id
        where s.payout_transfer_id = d.payout_transfer_id;
        get diagnostics v_marked = row_count;
        exit when v_marked < 250;
    end loop;
end
$$;
comment on function payout.mark_held_transfers(timestamptz) is
    'Sets transfer_states.hold_id of up to 5,000 transfers on hold that are due first.';
-- frozen: procedures/sweep/open_keys.sql 6a5a540dae2e
create or replace function payout.open_keys(p_now timestamptz, p_payout_transfer_ids bigint[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_half integer := cardinality(p_payout_transfer_ids) / 2;
begin
    insert into payout.transfer_observations (
        payout_transfer_id, generation, attempt, signal, verdict, moved_to, reason, facts,
        next_attempt_at)
    select s.payout_transfer_id, s.generation + 1, s.attempt, 'key_opened', 'ok', 'scheduled',
        s.reason,
        jsonb_strip_nulls(jsonb_build_object(
            'evidence_observation_id', k.evidence[1],
            'second_evidence_observation_id', k.evidence[2])),
        p_now
    from payout.transfer_states as s
    cross join lateral payout.evidence_for_new_key(s) as k (evidence)
    where s.payout_transfer_id = any (p_payout_transfer_ids);

    with reopened as (
        update payout.transfer_states as s
        set state = 'scheduled',
            generation = s.generation + 1,
            window_begins_at = null,
            tries = 0,
            has_unknown_send = false,
            next_attempt_at = p_now,
            reason = null,
            changed_at = p_now
        where s.payout_transfer_id = any (p_payout_transfer_ids)
        returning s.payout_transfer_id, s.generation
    )
    insert into payout.ledger_entries (
        payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor, currency)
    select r.payout_transfer_id, 'reserve', r.generation, 'payable:' || t.payee_id, 'in_flight',
        t.amount_minor, t.currency
    from reopened as r
    join payout.payout_transfers as t on t.payout_transfer_id = r.payout_transfer_id;

    return cardinality(p_payout_transfer_ids);
exception
    when integrity_constraint_violation or data_exception
        or sqlstate 'SP103' or sqlstate 'SP201' then
        if v_half = 0 then
            perform payout.set_aside(p_payout_transfer_ids[1], sqlerrm);
            return 0;
        end if;
        return payout.open_keys(p_now, p_payout_transfer_ids[:v_half])
            + payout.open_keys(p_now, p_payout_transfer_ids[v_half + 1:]);
end
$$;
comment on function payout.open_keys(timestamptz, bigint[]) is
    'Opens the next key of these transfers; returns of how many.';
-- frozen: procedures/sweep/park_expired_keys.sql 6c120c74f137
create or replace function payout.park_expired_keys(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return payout.record_expiries('key_expired', array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        cross join payout.engine_settings as e
        where s.next_attempt_at is not null
            and s.state in ('retry_wait', 'unknown')
            and (s.window_begins_at <= p_now - e.send_window_for
                or s.window_begins_at > payout.clock())
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
        for key share of t skip locked));
end
$$;
comment on function payout.park_expired_keys(timestamptz, integer) is
    'Parks up to p_limit transfers; returns how many.';
-- frozen: procedures/sweep/plan_late_lookups.sql b274c07a062e
create or replace function payout.plan_late_lookups(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
begin
    select * into strict v_settings from payout.engine_settings;
    with late as (
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.next_attempt_at <= p_now - v_settings.send_window_for
            and s.state = 'scheduled'
            and s.next_lookup_at is null
            and s.hold_id is null
            and payout.progress_problem(s) is null
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
    )
    update payout.transfer_states as s
    set next_lookup_at = s.next_attempt_at + payout.forgotten_sends_last(v_settings)
    from late as l
    where s.payout_transfer_id = l.payout_transfer_id;
end
$$;
comment on function payout.plan_late_lookups(timestamptz, integer) is
    'Plans the look-up of up to p_limit transfers.';
-- frozen: procedures/sweep/probe_waits.sql d06b125fe1fd
create or replace function payout.probe_waits(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_hold payout.holds;
    v_probe_id bigint;
begin
    for v_hold in
        select *
        from payout.holds as h
        where h.released_at is null
            and h.awaits in ('funds', 'account')
            and h.goes_on_at <= p_now
        order by h.hold_id
        for update skip locked
    loop
        -- One that could not be sent in its round waits again.
        update payout.transfer_states as s
        set hold_id = v_hold.hold_id,
            next_lookup_at = null
        where s.payout_transfer_id = v_hold.probe_transfer_id
            and s.state = 'failed'
            and s.next_attempt_at is not null
            and s.hold_id is null
            and payout.progress_problem(s) is null;
        if not exists (
            select from payout.transfer_states as s
            where s.hold_id = v_hold.hold_id
                or (s.payout_transfer_id = v_hold.probe_transfer_id
                    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown', 'parked'))
        ) then
            perform payout.end_holds(array[v_hold.hold_id], 'engine', 'nothing waits any longer');
            continue;
        end if;
        v_probe_id := payout.let_through(v_hold, p_now);
        update payout.holds as h
        set goes_on_at = p_now + case when v_probe_id is null then interval '1 minute'
                else payout.next_round(h.awaits, h.probes + 1) end,
            probes = h.probes + (v_probe_id is not null)::integer,
            probe_transfer_id = coalesce(v_probe_id, h.probe_transfer_id)
        where h.hold_id = v_hold.hold_id;
    end loop;
end
$$;
comment on function payout.probe_waits(timestamptz) is
    'Lets one transfer of each such wait through, and sets the time of its next round.';
-- frozen: procedures/sweep/pull_back_dates.sql 1117cd8f7ed5
create or replace function payout.pull_back_dates(p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_longest interval := (
        select payout.forgotten_sends_last(e) from payout.engine_settings as e);
begin
    update payout.transfer_states as s
    set next_lookup_at = p_now
    where s.payout_transfer_id = any (array(
        select f.payout_transfer_id
        from payout.transfer_states as f
        where f.next_lookup_at > p_now + v_longest
            and f.next_lookup_at - p_now > p_now - f.changed_at
            and payout.progress_problem(f) is null
        for update skip locked));

    update payout.holds as h
    set goes_on_at = p_now
    where h.hold_id = any (array(
        select f.hold_id
        from payout.holds as f
        where f.released_at is null
            -- The 18th is as long as any, and each varies by a quarter: twice it is more than all.
            and f.goes_on_at > p_now + 2 * payout.next_round(f.awaits, 18)
        for update skip locked));
end
$$;
comment on function payout.pull_back_dates(timestamptz) is
    'Makes looks and rounds due whose dates are further ahead than any that is given.';
-- frozen: procedures/sweep/record_expiries.sql 286912fc37e2
create or replace function payout.record_expiries(p_signal text, p_payout_transfer_ids bigint[])
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_recorded integer;
    v_parked_ids bigint[];
begin
    if p_payout_transfer_ids = '{}' then
        return 0;
    end if;
    select (count(*) filter (where r.verdict = 'ok'))::integer,
        array_agg(r.payout_transfer_id order by r.payout_transfer_id)
            filter (where r.verdict = 'ok' and r.state = 'parked')
    into v_recorded, v_parked_ids
    from payout.record_outcomes_apart(array(
        select jsonb_populate_record(null::payout.outcome, jsonb_build_object(
            'payout_transfer_id', s.payout_transfer_id,
            'generation', s.generation,
            'attempt', s.attempt,
            'signal', p_signal))
        from payout.transfer_states as s
        where s.payout_transfer_id = any (p_payout_transfer_ids))) as r;

    if v_parked_ids is not null then
        perform payout.notify_operators(
            'transfers_parked', cardinality(v_parked_ids) || ' by the sweep',
            jsonb_build_object('payout_transfer_ids', v_parked_ids[1:20]));
    end if;
    return v_recorded;
end
$$;
comment on function payout.record_expiries(text, bigint[]) is
    'Records lease_expired or key_expired, as p_signal says, for each of these transfers; returns '
    'how many.';
-- frozen: procedures/sweep/reopen_failed.sql 7f0171979191
create or replace function payout.reopen_failed(p_now timestamptz, p_limit integer)
returns integer
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
    return payout.open_keys(p_now, array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        cross join payout.engine_settings as e
        where s.next_attempt_at <= p_now
            and s.state = 'failed'
            and s.hold_id is null
            and payout.counted_keys(s) < e.max_generations
            and payout.evidence_for_new_key(s) is not null
            and not payout.was_seen_at_stripe(s.payout_transfer_id)
        order by s.next_attempt_at
        limit p_limit
        for update of s skip locked
        for key share of t skip locked));
end
$$;
comment on function payout.reopen_failed(timestamptz, integer) is
    'Opens the next key for up to p_limit transfers; returns how many.';
-- frozen: procedures/sweep/sweep.sql 5f7601bc3add
create or replace function payout_api.sweep(p_limit integer default 1000)
returns table (
    leases_expired integer,
    transfers_parked integer,
    transfers_reopened integer,
    wakeups_queued integer
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
begin
    if p_limit is null or p_limit < 1 then
        raise exception 'sweep of % transfers', coalesce(p_limit::text, 'null')
            using
                errcode = 'SP311',
                hint = 'Give a limit of at least 1, or none.';
    end if;
    -- It seals first, while it has locked no transfer yet.
    perform payout_api.seal();
    perform payout.end_due_holds(payout.clock());
    perform payout.mark_held_transfers(payout.clock());
    perform payout.look_for_accounts(payout.clock(), p_limit);
    perform payout.pull_back_dates(payout.clock());
    perform payout.probe_waits(payout.clock());
    perform payout.plan_late_lookups(payout.clock(), p_limit);
    perform payout.judge_listed_transfers(payout.clock(), p_limit);
    -- Each step reads the clock: the second one takes what the first one has made due.
    return query
    select
        payout.expire_leases(payout.clock(), p_limit),
        payout.park_expired_keys(payout.clock(), p_limit),
        payout.reopen_failed(payout.clock(), p_limit),
        payout.queue_due_wakeups(payout.clock(), p_limit);
end
$$;
comment on function payout_api.sweep(integer) is
    'Judges due transfers that Stripe has listed, closes leases that ran out, parks transfers '
    'whose key is too old to send, opens new keys where the evidence allows it, plans looks before '
    'late first sends, looks for accounts that transfers wait for, ends holds that are over, '
    'queues wake-up jobs for due transfers; up to p_limit of each. Returns how many. Seals too.';
grant execute on function payout_api.sweep(integer) to payout_worker, payout_operator;
-- frozen: procedures/operate/act.sql da7625437ca3
create or replace function payout.act(
    p_verb text,
    p_payout_transfer_ids bigint[],
    p_reason text,
    p_preview boolean,
    p_details jsonb default '{}',
    p_takes_two boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_acts payout.act_result[];
    v_ids bigint[];
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot % without a reason', replace(p_verb, '_', ' ')
            using
                errcode = 'SP314',
                hint = 'Say why: p_reason is kept with the act.';
    end if;
    if p_preview is not true and p_takes_two is not true then
        perform payout.refuse_old_snapshot('nothing is done');
        perform payout.waits_of(p_payout_transfer_ids) where p_verb = 'retry';
        perform from payout.transfer_states as s
        where s.payout_transfer_id = any (p_payout_transfer_ids)
        order by s.payout_transfer_id
        for update;
    end if;

    v_acts := array(
        select a from payout.previewed_acts(p_verb, p_payout_transfer_ids, p_takes_two) as a);
    v_ids := array(
        select a.payout_transfer_id from unnest(v_acts) as a where a.result = 'preview');
    -- The look that a refused act waits for, from when on it counts.
    update payout.transfer_states as s
    set next_lookup_at = payout.look_awaited_from(s)
    from unnest(v_acts) as a
    where p_preview is not true and p_verb in ('cancel', 'settle_outside')
        and s.payout_transfer_id = a.payout_transfer_id
        and a.result = 'refused'
        and s.next_lookup_at is null
        and payout.progress_problem(s) is null
        and payout.look_awaited_from(s) is not null;
    if p_preview is true or v_ids = '{}' then
        return query select * from unnest(v_acts);
        return;
    elsif p_takes_two then
        return query select * from unnest(v_acts) as a where a.result <> 'preview';
        return query select * from payout.propose(p_verb, p_reason, v_ids, p_details);
        return;
    end if;

    v_ids := payout.record_acts(p_verb, v_ids, p_reason, p_details);
    return query
    select a.payout_transfer_id, a.settlement_id, a.payee_id, a.amount, a.amount_minor, a.currency,
        s.state::text,
        case
            when a.payout_transfer_id = any (v_ids) then 'done'
            when a.result = 'preview' then 'refused'
            else a.result
        end,
        case
            when a.payout_transfer_id = any (v_ids) then 'was ' || a.state
            when a.result = 'preview' then 'its row contradicts its facts: it was set aside'
            else a.detail
        end
    from unnest(v_acts) as a
    join payout.transfer_states as s on s.payout_transfer_id = a.payout_transfer_id
    order by a.payout_transfer_id;
end
$$;
comment on function payout.act(text, bigint[], text, boolean, jsonb, boolean) is
    'One row for each transfer; a preview changes nothing; an act that takes two is proposed.';
-- frozen: procedures/operate/add_currency.sql c0cade755440
create or replace function payout_api.add_currency(
    p_currency text, p_minor_digits integer, p_reason text, p_amount_step integer default 1
)
returns payout.currencies
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_step integer := coalesce(p_amount_step, 1);
    v_currency payout.currencies;
begin
    if coalesce(btrim(p_reason), '') = '' or p_currency is null or p_minor_digits is null then
        raise exception 'currency % is not added without its digits and a reason',
            coalesce(p_currency, 'null')
            using
                errcode = 'SP313',
                hint = 'Say where Stripe says that it transfers it.';
    end if;

    insert into payout.currencies (currency, minor_digits, amount_step)
    values (p_currency, p_minor_digits, v_step)
    on conflict (currency) do nothing
    returning * into v_currency;
    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('add_currency', v_currency.currency, p_reason, to_jsonb(v_currency));
        return v_currency;
    end if;

    select * into strict v_currency from payout.currencies as c where c.currency = p_currency;
    if (v_currency.minor_digits, v_currency.amount_step)
        is distinct from (p_minor_digits, v_step) then
        raise exception 'currency % is there with % digits and step %', p_currency,
            v_currency.minor_digits, v_currency.amount_step
            using
                errcode = 'SP313',
                hint = 'Amounts that are booked rely on them: they do not change.';
    end if;
    return v_currency;
end
$$;
comment on function payout_api.add_currency(text, integer, text, integer) is
    'Adds a currency with its decimal places, and the number that amounts must be a multiple of; '
    'on record with the reason. Safe to repeat.';
grant execute on function payout_api.add_currency(text, integer, text, integer)
    to payout_operator;
-- frozen: procedures/operate/add_not_ours_rule.sql 3b17edf4abca
create or replace function payout_api.add_not_ours_rule(
    p_reason text,
    p_created_before timestamptz default null,
    p_metadata_key text default null,
    p_destination text default null,
    p_everything boolean default false
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rule payout.not_ours_rules;
begin
    if coalesce(btrim(p_reason), '') = ''
        or coalesce(p_everything, false)
            <> (num_nonnulls(p_created_before, p_metadata_key, p_destination) = 0)
        or p_created_before > payout.clock() then
        raise exception 'cannot add such a rule, for reason %',
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Give a reason, and a time that has passed, a key of the metadata or an '
                    'account, or several; or p_everything => true for all that cannot be ours.';
    end if;

    insert into payout.not_ours_rules (
        created_before, metadata_key, destination, is_everything, reason)
    values (p_created_before, p_metadata_key, p_destination, coalesce(p_everything, false),
        p_reason)
    on conflict (created_before, metadata_key, destination) where ended_at is null do nothing
    returning * into v_rule;
    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('add_not_ours_rule', v_rule.not_ours_rule_id::text, p_reason, to_jsonb(v_rule));
    else
        select * into strict v_rule
        from payout.not_ours_rules as r
        where r.ended_at is null
            and (r.created_before, r.metadata_key, r.destination)
                is not distinct from (p_created_before, p_metadata_key, p_destination);
    end if;
    perform payout.resolve_by_rules();
    return v_rule.not_ours_rule_id;
end
$$;
comment on function payout_api.add_not_ours_rule(text, timestamptz, text, text, boolean) is
    'Counts transfers at Stripe as those of other software: made before a time, with a key in '
    'their metadata, to an account (all that are given), or everything that cannot be ours; with '
    'a reason. Resolves their open discrepancies; returns the number of the rule.';
grant execute on function payout_api.add_not_ours_rule(
    text, timestamptz, text, text, boolean
) to payout_operator;
-- frozen: procedures/operate/adopt.sql 910ca17468f5
create or replace function payout.adopt(
    p_reason text, p_without_reconcile boolean, p_preview boolean default false
)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_problem text;
    v_adoption_id bigint;
    v_read_id bigint;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'a database is not adopted without a reason'
            using
                errcode = 'SP320',
                hint = 'Say why this database is the true one now.';
    end if;

    perform from payout.engine_settings for update;
    v_problem := payout.identity_problem();
    if v_problem is null then
        return 'already';
    end if;

    select r.read_id into v_read_id
    from payout.newest_read('comparison') as r
    where r.begun_at >= payout.clock() - interval '1 hour';
    if v_read_id is null and p_without_reconcile is not true then
        raise exception 'the database is not adopted: no comparison with Stripe of the last hour'
            using
                errcode = 'SP410',
                detail = v_problem,
                hint = 'docs/restore.md: payout-engine reconcile, then adopt_database within an '
                    'hour of its start; or pass p_without_reconcile => true if no transfer can '
                    'have been forgotten.';
    end if;

    if p_preview then
        return 'preview';
    end if;
    insert into payout.adoptions (
        system_identifier, timeline_id, database_oid, table_oid, read_id, reason)
    select w.*, v_read_id, p_reason from payout.database_identity() as w
    returning adoption_id into v_adoption_id;
    insert into payout.operator_actions (action, subject, reason, details)
    values ('adopt_database', v_adoption_id, p_reason, jsonb_build_object(
        'read_id', v_read_id, 'problem', v_problem));
    return 'done';
end
$$;
comment on function payout.adopt(text, boolean, boolean) is
    'Adopts the database under its present identity once a comparison that began within the last '
    'hour has finished, or without one: done, already or preview.';
-- frozen: procedures/operate/adopt_database.sql 04d8bed6a741
create or replace function payout_api.adopt_database(
    p_reason text, p_without_reconcile boolean default false
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if payout.adopt(p_reason, p_without_reconcile, true) = 'already' then
        return 'already';
    end if;
    perform payout.propose('adopt_database', p_reason, '{}', jsonb_build_object(
        'without_reconcile', p_without_reconcile is true));
    return 'proposed';
end
$$;
comment on function payout_api.adopt_database(text, boolean) is
    'Proposes to adopt the database under its present identity, with a reason, once a comparison '
    'that began within the last hour has finished; p_without_reconcile does without one. '
    'Proposed: it waits for payout_api.approve; or already.';
grant execute on function payout_api.adopt_database(text, boolean) to payout_operator;
-- frozen: procedures/operate/approve.sql 47e3de33c9b9
create or replace function payout_api.approve(p_action_id bigint, p_reason text)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_proposal payout.operator_actions;
    v_problem text;
begin
    select * into v_proposal
    from payout.operator_actions as a
    where a.operator_action_id = p_action_id and a.action = 'propose'
    for update;
    if not found then
        raise exception 'there is no proposal %', coalesce(p_action_id::text, 'null')
            using
                errcode = 'SP310',
                hint = 'select * from payout_api.proposals';
    end if;
    if exists (
        select from payout.operator_actions as a where a.proposal_id = p_action_id
    ) then
        raise notice 'proposal % is approved already', p_action_id;
        return;
    end if;
    v_problem := case
        when coalesce(btrim(p_reason), '') = '' then 'is not approved without a reason'
        when v_proposal.acted_by = session_user then 'is your own: another person approves it'
        when v_proposal.expires_at <= payout.clock()
            then format('has expired at %s: have it proposed again', v_proposal.expires_at)
    end;
    if v_problem is not null then
        raise exception 'proposal % %', p_action_id, v_problem
            using
                errcode = 'SP314',
                hint = 'select * from payout_api.proposals';
    end if;

    insert into payout.operator_actions (action, subject, reason, proposal_id)
    values ('approve', v_proposal.subject, p_reason, p_action_id);
    return query select * from payout.do_proposed(v_proposal);
end
$$;
comment on function payout_api.approve(bigint, text) is
    'Approves the act that another login has proposed, and does it; one row for each transfer with '
    'its result. payout_api.proposals lists those that wait.';
grant execute on function payout_api.approve(bigint, text) to payout_approver;
-- frozen: procedures/operate/cancel.sql 620a3ccaa611
create or replace function payout_api.cancel(
    p_reason text,
    p_payout_transfer_id bigint default null,
    p_settlement_id text default null,
    p_payee_id text default null,
    p_currency text default null,
    p_because text default null,
    p_preview boolean default false
)
returns setof payout.act_result
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    select * from payout.act(
        'cancel',
        payout.selected_transfers(
            p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency, p_because),
        p_reason, p_preview)
$$;
comment on function payout_api.cancel(
    text, bigint, text, text, text, text, boolean
) is
    'Cancels the transfers that are named by any of the marks, joined by and: they are not owed '
    'after all. One row for each with its result; p_preview changes nothing.';
grant execute on function payout_api.cancel(
    text, bigint, text, text, text, text, boolean
) to payout_operator;
-- frozen: procedures/operate/change_setting.sql ff8a31691382
create or replace function payout_api.change_setting(p_name text, p_value text, p_reason text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_settings payout.engine_settings;
    v_type text;
begin
    select format_type(a.atttypid, a.atttypmod) into v_type
    from pg_attribute as a
    where a.attrelid = 'payout.engine_settings'::regclass
        and a.attname = p_name
        and a.attnum > 0
        and not a.attisdropped
        and a.attname not in (
            'is_single_row', 'installation_id', 'stripe_account_id', 'is_livemode')
        and (p_value is not null or not a.attnotnull);
    if v_type is null or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot set % to % for reason %', coalesce(p_name, 'null'),
            coalesce(p_value, 'null'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP314',
                hint = 'Columns of payout.engine_settings can be set, save the installation and '
                    'the Stripe account (change_stripe_account); give a value and a reason.';
    end if;

    begin
        select * into strict v_settings from payout.engine_settings for update;
        v_settings := jsonb_populate_record(v_settings, jsonb_build_object(p_name, p_value));
    exception
        when data_exception then
            raise exception '% is no %, as % must be', quote_literal(p_value), v_type, p_name
                using errcode = 'SP314', hint = 'For example: 15 minutes; 100000.';
    end;
    perform set_config('payout.reason', p_reason, true);
    update payout.engine_settings as e
    set (lease_for, http_deadline_for, send_window_for, attempt_drain_for, max_tries,
            max_generations, largest_claim, transfers_per_wakeup, queue_wakeup_again_after,
            indeterminate_for, scans_apart_for, approval_limit_minor, proposals_expire_after,
            max_alarms, alarm_window_for, comparison_counts_for, sends_per_second,
            reads_per_second, account_change_waits_for)
        = (v_settings.lease_for, v_settings.http_deadline_for, v_settings.send_window_for,
            v_settings.attempt_drain_for, v_settings.max_tries, v_settings.max_generations,
            v_settings.largest_claim, v_settings.transfers_per_wakeup,
            v_settings.queue_wakeup_again_after, v_settings.indeterminate_for,
            v_settings.scans_apart_for, v_settings.approval_limit_minor,
            v_settings.proposals_expire_after, v_settings.max_alarms,
            v_settings.alarm_window_for, v_settings.comparison_counts_for,
            v_settings.sends_per_second, v_settings.reads_per_second,
            v_settings.account_change_waits_for);
    perform set_config('payout.reason', '', true);
    return to_jsonb(v_settings) ->> p_name;
end
$$;
comment on function payout_api.change_setting(text, text, text) is
    'Sets a column of payout.engine_settings; returns its new value. Both values are in '
    'operator_actions.';
grant execute on function payout_api.change_setting(text, text, text) to payout_operator;
-- frozen: procedures/operate/change_stripe_account.sql 443d031bf238
create or replace function payout_api.change_stripe_account(
    p_stripe_account_id text, p_is_livemode boolean, p_reason text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_old payout.engine_settings;
begin
    if coalesce(p_stripe_account_id !~ '^acct_[A-Za-z0-9_]+$', true) or p_is_livemode is null
        or coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot change the Stripe account to % for reason %',
            payout.stripe_account_label(p_stripe_account_id, p_is_livemode),
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP320',
                hint = 'Name the account (acct_…), whether it is live mode, and a reason.';
    end if;

    -- Only a snapshot taken after the lock at the commit shows every claim from before it.
    perform payout.refuse_old_snapshot('the Stripe account is not changed');
    select * into strict v_old from payout.engine_settings for update;
    if (v_old.stripe_account_id, v_old.is_livemode) = (p_stripe_account_id, p_is_livemode) then
        return 'already';
    end if;

    perform payout.refuse_unsafe_account_change(v_old, p_is_livemode);
    update payout.engine_settings as e
    set stripe_account_id = p_stripe_account_id, is_livemode = p_is_livemode;
    insert into payout.operator_actions (action, subject, reason, details)
    values ('change_stripe_account', p_stripe_account_id, p_reason, jsonb_build_object(
        'is_livemode', p_is_livemode, 'old_stripe_account_id', v_old.stripe_account_id,
        'old_is_livemode', v_old.is_livemode));
    if v_old.stripe_account_id is not null then
        insert into payout.adoptions (reason) values ('Stripe account changed: ' || p_reason);
    end if;
    return 'done';
end
$$;
comment on function payout_api.change_stripe_account(text, boolean, text) is
    'Fixes another Stripe account or mode, with a reason: done, or already; claims are refused '
    'until the database is adopted again.';
grant execute on function payout_api.change_stripe_account(text, boolean, text) to payout_operator;
-- frozen: procedures/operate/check_acts.sql dfa419e3fe1c
create or replace function payout.check_acts(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every release and resolution has its act', c.row,
        'compare with payout.operator_actions: it was closed by hand, or its reason was rewritten'
    from (
        select 'hold ' || h.hold_id
        from payout.holds as h
        where h.hold_id between p_from and p_to
            and h.released_at is not null
            and not exists (
                select from payout.operator_actions as a
                where a.action = 'release'
                    and (a.details ->> 'hold_id')::bigint = h.hold_id
                    and a.reason = h.release_reason
            )
        union all
        select 'discrepancy ' || d.discrepancy_id
        from payout.discrepancies as d
        where d.discrepancy_id between p_from and p_to
            and d.resolved_at is not null
            and not exists (
                select from payout.operator_actions as a
                where a.action = 'resolve_discrepancy'
                    and (a.details ->> 'discrepancy_id')::bigint = d.discrepancy_id
                    and a.reason = d.resolution
            )
            and not (d.resolved_by = 'engine' and (
                exists (
                    select from payout.stripe_reads as r
                    where r.read_id = d.resolved_by_read_id and r.finished_at is not null
                )
                or (d.resolved_by_rule_id is not null
                    and d.kind in ('transfer_without_payout_ref', 'unknown_transfer_at_stripe')
                    and not payout.may_be_ours(jsonb_populate_record(
                        null::payout.stripe_transfer, d.theirs - 'metadata_keys')))
                or exists (
                    select from payout.transfer_states as s
                    where s.state = 'paid'
                        and d.kind <> 'several_transfers_at_stripe'
                        and (s.stripe_transfer_id = d.stripe_transfer_id
                            or (s.payout_transfer_id = d.payout_transfer_id
                                and d.stripe_transfer_id is null))
                )
            ))
        union all
        select 'rule ' || r.not_ours_rule_id
        from payout.not_ours_rules as r
        where r.not_ours_rule_id between p_from and p_to
            and (not exists (
                select from payout.operator_actions as a
                where a.action = 'add_not_ours_rule'
                    and a.subject = r.not_ours_rule_id::text
                    and a.details - '{ended_at,ended_by,end_reason}'::text[]
                        = to_jsonb(r) - '{ended_at,ended_by,end_reason}'::text[]
            ) or (r.ended_at is not null and not exists (
                select from payout.operator_actions as a
                where a.action = 'end_not_ours_rule'
                    and a.subject = r.not_ours_rule_id::text
                    and a.reason = r.end_reason
            )))
    ) as c (row)
$$;
comment on function payout.check_acts(bigint, bigint) is 'Part of payout_api.verify_books().';
-- frozen: procedures/operate/check_books.sql 75dc2e5e3da8
create or replace function payout.check_books()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'books balance', count(*) = 0,
        coalesce(string_agg(b.currency, ', '), 'every currency'),
        'payout_api.hold(''engine'', …) and select * from payout_api.trial_balance'
    from payout_api.trial_balance as b
    where b.difference_minor <> 0 or b.in_flight_minor <> b.open_transfers_minor
    union all
    select 'no discrepancy is open', count(*) = 0,
        coalesce(string_agg(distinct d.kind, ', '), 'none'),
        'select * from payout_api.discrepancies'
    from payout.discrepancies as d
    where d.resolved_at is null and d.kind <> 'settlement_edited'
    union all
    select 'no settlement was edited after it was settled', count(*) = 0,
        coalesce(string_agg(d.ours ->> 'settlement_id', ', '), 'none'),
        'select * from payout_api.discrepancies where kind = ''settlement_edited''; docs/attach.md'
    from (
        select d.* from payout.discrepancies as d
        where d.resolved_at is null and d.kind = 'settlement_edited'
        order by d.discrepancy_id
        limit 100
    ) as d
    union all
    select 'all transfers were compared within a day',
        coalesce(
            last.finished_at > clock_timestamp() - interval '1 day',
            first.created_at is null or first.created_at > clock_timestamp() - interval '1 day'),
        coalesce(
            'the last comparison finished at ' || last.finished_at || ': ' || last.result,
            'no comparison has finished'),
        'payout-engine reconcile says why; workers compare every PAYOUT_RECONCILE_MINUTES'
    from payout.newest_read('comparison') as last
    left join lateral (
        select e.created_at from payout.ledger_entries as e order by e.ledger_entry_id limit 1
    ) as first on true
    union all
    select 'the newest transfers were compared before claims',
        payout.is_compared(e.comparison_counts_for) or payout.identity_problem() is not null
            or not exists (
                select from payout.transfer_states as s
                where s.next_attempt_at < clock_timestamp() - interval '1 minute'
                    and s.hold_id is null and s.state in ('retry_wait', 'unknown', 'scheduled')
                    and s.next_lookup_at is null
            ),
        'the server was started at ' || pg_postmaster_start_time() || ', a comparison counts for '
            || e.comparison_counts_for,
        'a worker does it before it claims, and its log says why it cannot: it needs a key that '
            'may read transfers'
    from payout.engine_settings as e
$$;
comment on function payout.check_books() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_catalogue.sql 90adbd2ed352
create or replace function payout.check_catalogue()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'everything is as it was deployed', count(d.object) = 0,
        coalesce(string_agg(format('%s (%s)', d.object, d.what), ', ' order by d.object), (
            select format('%s objects, recorded by %s at %s: %s',
                (select count(*) from jsonb_object_keys(c.objects)), c.recorded_by, c.recorded_at,
                c.reason)
            from payout.catalogues as c
            order by c.catalogue_id desc
            limit 1)),
        'select * from payout_api.catalogue_differences(); undo it and find out who did it, or, if '
        'it is meant: set role payout_owner; select payout.record_catalogue(reason)'
    from payout_api.catalogue_differences() as d
    union all
    select 'the catalogue was recorded on this version of Postgres',
        c.server_major = current_setting('server_version_num')::integer / 10000,
        format('PostgreSQL %s', c.server_major),
        'conditions and views were not compared: set role payout_owner; '
        'select payout.record_catalogue(''upgraded'')'
    from (
        select c.* from payout.catalogues as c order by c.catalogue_id desc limit 1
    ) as c
$$;
comment on function payout.check_catalogue() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_entries.sql 053796b08805
create or replace function payout.check_entries(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select w.rule, w.name || ' ' || w.id,
        'payout_api.hold(''engine'', …); find out who wrote it while the guards were off'
    from (
        select 'every entry is a movement that exists', 'entry', e.ledger_entry_id
        from payout.ledger_entries as e
        where e.payout_transfer_id between p_from and p_to
            and (e.amount_minor <= 0 or (e.kind = 'obligation' and e.generation <> 1)
                or (e.kind = 'reversal') <> (e.stripe_reversal_id is not null)
                or (e.kind in ('cancel', 'settle_outside', 'write_off'))
                    <> (e.operator_action_id is not null)
                or (
                    e.kind,
                    case when e.debit_account like 'payable:_%' then '*' else e.debit_account end,
                    case when e.credit_account like 'payable:_%' then '*' else e.credit_account end
                ) not in (
                    ('obligation', 'settlement_funds', '*'), ('reserve', '*', 'in_flight'),
                    ('paid', 'in_flight', 'stripe_balance'), ('release', 'in_flight', '*'),
                    ('reversal', 'stripe_balance', '*'),
                    ('cancel', 'in_flight', 'settlement_funds'),
                    ('cancel', '*', 'settlement_funds'),
                    ('settle_outside', 'in_flight', 'paid_outside'),
                    ('settle_outside', '*', 'paid_outside'),
                    ('write_off', '*', 'settlement_funds')))
        union all
        select 'every amount that is owed again is listed', 'transfer', e.payout_transfer_id
        from payout.ledger_entries as e
        where e.payout_transfer_id between p_from and p_to
            and e.kind in ('reversal', 'write_off')
            and not exists (
                select from payout.open_reversals as o
                where o.payout_transfer_id = e.payout_transfer_id
            )
        group by e.payout_transfer_id
        having sum(case e.kind when 'reversal' then e.amount_minor else -e.amount_minor end) > 0
    ) as w (rule, name, id)
$$;
comment on function payout.check_entries(bigint, bigint) is 'Part of payout_api.verify_books().';
-- frozen: procedures/operate/check_holds.sql e55633d641cb
create or replace function payout.check_holds()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'nothing is on hold', count(*) = 0,
        coalesce(string_agg(format('%s (%s)', concat_ws(' ', h.scope, h.subject), h.reason), ', '),
            'no hold'),
        'payout_api.release_hold(hold_id, reason) once the cause is gone'
    from payout.holds as h
    where h.released_at is null
        and h.goes_on_at is null
    union all
    select 'no currency waits for funds', count(*) = 0,
        coalesce(string_agg(format('%s since %s', h.subject,
            to_char(h.placed_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI UTC')), ', '), 'none'),
        'add funds to the platform''s Stripe balance; one transfer is tried from time to time'
    from payout.holds as h
    where h.released_at is null
        and h.awaits = 'funds'
    union all
    select 'no transfer waits for a released hold', count(*) = 0,
        format('%s do', count(*)),
        'the row breaks a rule (select payout.progress_problem(s) from payout.transfer_states as s)'
    from payout.transfer_states as s
    left join payout.holds as h on h.hold_id = s.hold_id and h.released_at is null
    where s.hold_id is not null and h.hold_id is null
    union all
    select 'every date is one that was decided', count(*) = 0,
        format('%s are not%s', count(*), ', the first is number ' || min(s.payout_transfer_id)),
        'find out who moved it; the settlement''s pay_after and the observations say the true one'
    from payout_api.open_transfers as s
    where s.next_attempt_at > clock_timestamp() + interval '1 day'
        and not exists (
            select
            from payout.payout_transfers as p
            join payout.settlements as t on t.settlement_id = p.settlement_id
            where p.payout_transfer_id = s.payout_transfer_id
                and t.pay_after >= s.next_attempt_at
        )
        and not exists (
            select
            from payout.transfer_observations as o
            where o.payout_transfer_id = s.payout_transfer_id
                and o.next_attempt_at >= s.next_attempt_at
        )
$$;
comment on function payout.check_holds() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_identity.sql 47c26dd9ac6a
create or replace function payout.check_identity(p_stripe_account_id text, p_is_livemode boolean)
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'the database is adopted', i.problem is null,
        coalesce(i.problem, (
            select format('by %s at %s: %s', a.recorded_by, a.recorded_at, a.reason)
            from payout.adoptions as a
            order by a.adoption_id desc
            limit 1)),
        'docs/restore.md: payout-engine reconcile, then select payout_api.adopt_database(reason)'
    from (select payout.identity_problem() as problem) as i
    union all
    -- Any other adoption was written by hand.
    select 'the adoption is of an operator or of the first claim',
        a.system_identifier is null
            or exists (
                select from payout.operator_actions as o
                where o.action = 'adopt_database' and o.subject = a.adoption_id::text
            ) or not exists (
                select from payout.adoptions as e
                where not (e.is_installation or e.is_first_claim)
                    or (e.system_identifier, e.timeline_id, e.database_oid, e.table_oid)
                        <> (a.system_identifier, a.timeline_id, a.database_oid, a.table_oid)
            ),
        format('number %s, by %s at %s', a.adoption_id, a.recorded_by, a.recorded_at),
        'payout_api.hold(''engine'', …), find out who wrote it, then docs/restore.md'
    from (select e.* from payout.adoptions as e order by e.adoption_id desc limit 1) as a
    union all
    select 'the key is of the fixed account',
        s.stripe_account_id is null or p_stripe_account_id is null
            or (s.stripe_account_id = p_stripe_account_id
                and s.is_livemode is not distinct from p_is_livemode),
        concat_ws('; ',
            case
                when s.stripe_account_id is null then 'none is fixed: the first claim fixes one'
                else 'fixed: ' || payout.stripe_account_label(s.stripe_account_id, s.is_livemode)
            end,
            'the key: ' || case
                when p_stripe_account_id is null then 'not asked'
                else payout.stripe_account_label(p_stripe_account_id, p_is_livemode)
            end),
        'give the worker another key; if the platform has moved: '
            'select payout_api.change_stripe_account(stripe_account_id, is_livemode, reason)'
    from payout.engine_settings as s
$$;
comment on function payout.check_identity(text, boolean) is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_logins.sql f0321e2807d0
create or replace function payout.check_logins()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with logins as (
        select
            r.rolname, r.oid = 10 as is_first, r.oid = d.datdba as owns_database, (
                select array_agg(g.rolname order by g.rolname)
                from pg_roles as g
                where g.rolname in (
                        'payout_app', 'payout_worker', 'payout_operator', 'payout_approver',
                        'payout_auditor')
                    and not r.rolsuper and case
                        when current_setting('server_version_num')::integer < 160000
                            then pg_has_role(r.oid, g.oid, 'member')
                        else pg_has_role(r.oid, g.oid, 'usage') or pg_has_role(r.oid, g.oid, 'set')
                    end
            ) as parts, case when r.rolsuper then '{superuser}' else (
                select array_agg(case g.oid when r.oid then 'createrole' else g.rolname end
                    order by g.oid <> r.oid, g.rolname)
                from pg_roles as g
                where g.rolname in (
                        'payout_owner', 'pg_write_all_data', 'pg_write_server_files',
                        'pg_execute_server_program')
                    and pg_has_role(r.oid, g.oid, 'member')
                    -- Before PostgreSQL 16 it may grant itself every one of these.
                    or g.oid = r.oid and r.rolcreaterole
                        and current_setting('server_version_num')::integer < 160000
            ) end as ways
        from pg_roles as r
        join pg_database as d on d.datname = current_database()
        where r.rolcanlogin
    )
    select 'each login has one part', count(*) filter (where l.is_both) = 0,
        coalesce(string_agg(l.told, ', ' order by l.told) filter (where l.is_both),
            string_agg(l.told, ', ' order by l.told), 'no login has any'),
        'revoke one of the roles: application, worker and operator watch each other'
    from (
        select format('%s (%s)', o.rolname, array_to_string(o.parts, ', ')) as told,
            cardinality(array_remove(o.parts, 'payout_auditor')) > 1 as is_both
        from logins as o
        where o.parts is not null
    ) as l
    union all
    select 'no login passes the rights', coalesce(bool_and(
            l.is_first
            or l.owns_database and l.parts is null
                and l.ways <@ array['createrole', 'payout_owner']::name[]), true),
        coalesce(string_agg(format('%s (%s)', l.rolname, array_to_string(l.ways, ', ')), ', '
            order by l.rolname), 'none'),
        'revoke the role, or watch these logins: docs/guarantees.md says what they can do'
    from logins as l
    where l.ways is not null
    union all
    select 'the application does not write the queue', count(*) = 0,
        coalesce(string_agg(format('%s on %s', a.privilege_type, c.oid::regclass), ', '),
            'nor does public'),
        'revoke … on … from …; then find out who granted it'
    from pg_class as c
    cross join lateral aclexplode(c.relacl) as a
    where c.relnamespace = to_regnamespace('procrastinate') and a.privilege_type <> 'SELECT'
        and a.grantee in (0, to_regrole('payout_app'))
$$;
comment on function payout.check_logins() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_numbers.sql e56827469b85
create or replace function payout.check_numbers()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'numbers go on after the newest row', count(*) = 0,
        coalesce(
            string_agg(format('%s, whose newest row has %s', n.sequence, n.newest), '; '),
            'of each table'),
        'stop the workers; select setval(''…'', …) with the number of the newest row'
    from (
        select pg_get_serial_sequence('payout.' || t.name, t.number) as sequence, t.newest
        from (
            select 'adoptions', 'adoption_id', max(r.adoption_id) from payout.adoptions as r
            union all
            select 'catalogues', 'catalogue_id', max(r.catalogue_id) from payout.catalogues as r
            union all
            select 'discrepancies', 'discrepancy_id', max(r.discrepancy_id)
            from payout.discrepancies as r
            union all
            select 'holds', 'hold_id', max(r.hold_id) from payout.holds as r
            union all
            select 'ledger_entries', 'ledger_entry_id', max(r.ledger_entry_id)
            from payout.ledger_entries as r
            union all
            select 'not_ours_rules', 'not_ours_rule_id', max(r.not_ours_rule_id)
            from payout.not_ours_rules as r
            union all
            select 'operator_actions', 'operator_action_id', max(r.operator_action_id)
            from payout.operator_actions as r
            union all
            select 'outcomes', 'outcome_id', max(r.outcome_id) from payout.outcomes as r
            union all
            select 'payee_accounts', 'payee_account_id', max(r.payee_account_id)
            from payout.payee_accounts as r
            union all
            select 'payout_jobs', 'payout_job_id', max(r.payout_job_id) from payout.payout_jobs as r
            union all
            select 'payout_transfers', 'payout_transfer_id', max(r.payout_transfer_id)
            from payout.payout_transfers as r
            union all
            select 'stripe_reads', 'read_id', max(r.read_id) from payout.stripe_reads as r
            union all
            select 'transfer_observations', 'observation_id', max(r.observation_id)
            from payout.transfer_observations as r
            union all
            select 'transfer_requests', 'transfer_request_id', max(r.transfer_request_id)
            from payout.transfer_requests as r
        ) as t (name, number, newest)
    ) as n
    where n.newest > coalesce(pg_sequence_last_value(n.sequence::regclass), 0)
$$;
comment on function payout.check_numbers() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_queue.sql 93da49cace6b
create or replace function payout.check_queue()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'wake-up jobs can be queued', q.problem is null,
        coalesce(q.problem, 'procrastinate''s schema, functions and rights'),
        'payout-engine migrate; transfers are paid without wake-up jobs, a few seconds later'
    from payout.queue_problem() as q (problem)
    union all
    select 'the queue is the engine''s own', payout.has_queue(),
        case when payout.has_queue() then 'the schema procrastinate'
            else 'the schema procrastinate belongs to another application' end,
        'transfers are paid without wake-up jobs, a few seconds later; to share the queue, run '
        'sql/queue_grants.sql, without its revoke, as the owner of that schema, who has to be a '
        'member of payout_owner'
    union all
    select 'a worker is alive', coalesce(bool_or(w.is_alive), false),
        coalesce(
            string_agg(concat_ws(' ', w.worker, w.release), ', ') filter (where w.is_alive),
            'the last one was seen at ' || max(w.last_seen_at), 'none has ever run'),
        'start a worker: payout-engine worker'
    from payout_api.workers as w
    union all
    select 'workers are of one release', count(*) = 0,
        coalesce(string_agg(concat_ws(' ', w.worker, w.release), ', '),
            'that of the schema: ' || payout_api.release()),
        'replace them: one release apart is meant for the time of an upgrade'
    from payout_api.workers as w
    where w.is_alive
        and substring(w.release from '^[0-9]+[.][0-9]+') is distinct from payout_api.release()
    union all
    select 'leases that ran out are closed', count(*) = 0,
        format('%s leases ran out over a minute ago', count(*)),
        'start a worker, or select * from payout_api.sweep()'
    from payout.transfer_states as s
    where s.lease_until < clock_timestamp() - interval '1 minute'
    union all
    -- A backlog that flows at its pace has claims under way: the last lease, read by its index.
    select 'due transfers are claimed', count(*) = 0 or coalesce(
            (select max(c.lease_until) from payout.transfer_states as c) > clock_timestamp(),
            false),
        format('%s transfers have been due for over five minutes', count(*)),
        'start a worker; select * from payout_api.unpaid order by next_attempt_at'
    from payout.transfer_states as s
    where s.next_attempt_at < clock_timestamp() - interval '5 minutes'
        and s.hold_id is null
        -- A look that was too early for a decline is made again later.
        and (s.state <> 'failed'
            or coalesce(s.next_lookup_at, '-infinity') <= clock_timestamp())
$$;
comment on function payout.check_queue() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_queue_code.sql 2dc4f596cb44
create or replace function payout.check_queue_code()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with things (name, owner, acl) as (
        select 'schema ' || n.nspname, n.nspowner, n.nspacl
        from pg_namespace as n
        where n.nspname = 'procrastinate'
        union all
        select c.oid::regclass::text, c.relowner, c.relacl
        from pg_class as c
        where c.relnamespace = to_regnamespace('procrastinate') and c.relkind in ('r', 'p', 'v')
        union all
        select p.oid::regprocedure::text, p.proowner, null
        from pg_proc as p
        where p.pronamespace = to_regnamespace('procrastinate')
    )
    select 'only members of payout_owner change the queue',
        count(*) = 0 or not payout.has_queue(),
        coalesce(string_agg(format('%s: %s', q.name, q.way), ', ' order by q.name, q.way),
            'its schema, tables and functions'),
        'alter … owner to …, or revoke … on … from …; then find out who did it'
    from (
        select t.name, 'owned by ' || t.owner::regrole, t.owner
        from things as t
        union all
        select t.name, format('%s to %s', a.privilege_type,
            case a.grantee when 0 then 'public' else a.grantee::regrole::text end), a.grantee
        from things as t
        cross join lateral aclexplode(t.acl) as a
        where a.privilege_type in ('CREATE', 'TRIGGER')
    ) as q (name, way, role)
    where q.role = 0 or not pg_has_role(q.role, 'payout_owner', 'member')
$$;
comment on function payout.check_queue_code() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_references.sql d559d1b2ca47
create or replace function payout.check_references(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'every reference has its row', format('%s %s', o.name, o.id),
        'rows were changed while the guards were off: compare with a backup'
    from (
        select 'payout_transfers', t.payout_transfer_id
        from payout.payout_transfers as t
        where t.payout_transfer_id between p_from and p_to
            and ((
                select j.payout_job_id
                from payout.payout_jobs as j where j.payout_job_id = t.payout_job_id
            ) is null or (
                select p.payee_id from payout.payees as p where p.payee_id = t.payee_id
            ) is null or (
                select s.payout_transfer_id
                from payout.transfer_states as s
                where s.payout_transfer_id = t.payout_transfer_id
            ) is null)
        union all
        select n.name, n.id
        from (
            select 'transfer_states', s.payout_transfer_id, s.payout_transfer_id
            from payout.transfer_states as s
            union all
            select 'ledger_entries', e.ledger_entry_id, e.payout_transfer_id
            from payout.ledger_entries as e
        ) as n (name, id, payout_transfer_id)
        where n.payout_transfer_id between p_from and p_to
            and not exists (
                select from payout.payout_transfers as t
                where t.payout_transfer_id = n.payout_transfer_id
                    and t.payout_transfer_id between p_from and p_to
            )
        union all
        select 'account_waits', w.payout_transfer_id
        from payout.account_waits as w
        where w.payout_transfer_id between p_from and p_to
            and not exists (
                select from payout.payout_transfers as t
                where t.payout_transfer_id = w.payout_transfer_id and t.payee_id = w.payee_id
            )
    ) as o (name, id)
$$;
comment on function payout.check_references(bigint, bigint) is
    'Part of payout_api.verify_books().';
-- frozen: procedures/operate/check_rules.sql a4c6d7110c5c
create or replace function payout.check_rules(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with open_transfers as (
        select s as progress, t as transfer, t.*
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        where s.state not in ('paid', 'cancelled', 'settled_outside')
            and s.payout_transfer_id between p_from and p_to
            and t.payout_transfer_id between p_from and p_to
    )
    select w.rule, 'transfer ' || w.id,
        'payout_api.hold(''engine'', …); find out who wrote it while the guards were off'
    from (
        select 'every request still to be sent agrees with its row', o.payout_transfer_id
        from open_transfers as o
        join payout.settlements as m on m.settlement_id = o.settlement_id
        cross join payout.engine_settings as e
        left join payout.transfer_requests as r on r.payout_transfer_id = o.payout_transfer_id
            and r.generation = (o.progress).generation
        where o.amount_minor <= 0
            or o.payout_ref <> payout.payout_ref(
                e.installation_id, o.settlement_id, o.payee_id, o.source_transaction)
            or r.request <> payout.transfer_request(
                o.transfer, r.destination, m.metadata, e.installation_id)
            or ((o.progress).window_begins_at is not null and r.request is null)
        union all
        select 'every transfer that is not paid can go on', o.payout_transfer_id
        from open_transfers as o
        where payout.progress_problem(o.progress) is not null
            or case (o.progress).reason
                -- Else neither an account nor a sweep gives it its date.
                when 'awaiting_account' then not exists (
                    select from payout.account_waits as w
                    where w.payout_transfer_id = o.payout_transfer_id
                        and w.next_look_at is not null
                )
                else (o.progress).next_attempt_at is not null and not exists (
                    select from payout.payee_accounts as a where a.payee_id = o.payee_id
                )
            end
    ) as w (rule, id)
$$;
comment on function payout.check_rules(bigint, bigint) is 'Part of payout_api.verify_books().';
-- frozen: procedures/operate/check_seals.sql 28935022a2b6
create or replace function payout.check_seals()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'facts are sealed in time', count(*) = 0,
        coalesce(string_agg(r.table_name, ', '), 'all that are older than 15 minutes'),
        'start a worker, or payout_api.seal(); else a transaction, of any database of the server, '
        'has been writing for long: select * from pg_stat_activity where backend_xid is not null'
    from payout.first_unsealed_rows() as r
    where greatest(r.row_at, r.marked_at) < clock_timestamp() - interval '15 minutes'
    union all
    select 'the newest seals are as they were made', count(*) = 0,
        coalesce(string_agg(distinct c.table_name, ', '), 'the last range of each sealed table'),
        'payout_api.hold(''engine'', …), select * from payout_api.verify_seals(), and find out who '
        'wrote there'
    from payout.seal_marks as m
    cross join lateral (
        select s as seal
        from payout.seals as s
        where s.table_name = m.table_name
        order by s.last_id desc
        limit 1
    ) as n
    cross join lateral payout.check_seal(n.seal) as c
$$;
comment on function payout.check_seals() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_secrets.sql 2d946554f0a1
create or replace function payout.check_secrets(p_from bigint, p_to bigint)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'no secret in any row', format('%s %s', x.place, x.id),
        'revoke that key at Stripe, then find out who wrote it'
    from (
        select 'transfer_observations', o.observation_id, concat_ws(
            ' ', o.facts, o.error_code, o.error_type, o.reason, o.stripe_request_id)
        from payout.transfer_observations as o
        where o.payout_transfer_id between p_from and p_to
        union all
        select 'operator_actions', a.operator_action_id,
            concat_ws(' ', a.reason, a.subject, a.details)
        from payout.operator_actions as a
        where a.operator_action_id between p_from and p_to
        union all
        select 'holds', h.hold_id, concat_ws(' ', h.reason, h.subject, h.release_reason)
        from payout.holds as h
        where h.hold_id between p_from and p_to
        union all
        select 'discrepancies', d.discrepancy_id, concat_ws(' ', d.ours, d.theirs, d.resolution)
        from payout.discrepancies as d
        where d.discrepancy_id between p_from and p_to
    ) as x (place, id, content)
    where x.content ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;
comment on function payout.check_secrets(bigint, bigint) is 'Part of payout_api.verify_books().';
-- frozen: procedures/operate/check_server.sql b86143bff8ed
create or replace function payout.check_server()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'server version',
        current_setting('server_version_num')::integer / 10000 between 15 and 18,
        current_setting('server_version'), 'The engine is tested on PostgreSQL 15 to 18.'
    union all
    select 'server keeps commits',
        not pg_is_in_recovery() and current_setting('fsync') = 'on'
            and current_setting('synchronous_commit') not in ('off', 'local')
            and current_setting('full_page_writes') = 'on',
        format('fsync %s, synchronous_commit %s, full_page_writes %s, in recovery %s',
            current_setting('fsync'), current_setting('synchronous_commit'),
            current_setting('full_page_writes'), pg_is_in_recovery()),
        'Claims are refused on a server that may lose them.'
    union all
    select 'triggers fire',
        current_setting('session_replication_role') = 'origin' and count(*) = 0,
        concat_ws('; ',
            format('session_replication_role %s', current_setting('session_replication_role')),
            string_agg(format('%s of %s in %s', c.setting,
                coalesce(nullif(s.setrole, 0)::regrole::text, 'every role'),
                case s.setdatabase when 0 then 'every database' else 'this database' end), '; ')),
        'Find out who set it, by alter database, alter role or alter system: settlements schedule '
        'nothing under it.'
    from pg_db_role_setting as s
    cross join lateral unnest(s.setconfig) as c (setting)
    where c.setting ~ '^session_replication_role=(?!origin$)'
        and s.setdatabase in (
            0, (select d.oid from pg_database as d where d.datname = current_database()))
    union all
    select 'public may not create temporary objects',
        not has_database_privilege('public', current_database(), 'TEMPORARY'),
        format('database %s', current_database()),
        format('revoke temporary on database %I from public', current_database())
$$;
comment on function payout.check_server() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_settlements.sql 5235778522a9
create or replace function payout.check_settlements(p_from text, p_to text)
returns table (check_name text, detail text, hint text)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with settled as not materialized (
        select s.* from payout.settlements as s where s.settlement_id between p_from and p_to
    ), lines as not materialized (
        select l.* from payout.settlement_lines as l where l.settlement_id between p_from and p_to
    ), jobs as not materialized (
        select j.* from payout.payout_jobs as j where j.settlement_id between p_from and p_to
    )
    select 'every settlement is paid as its lines say', w.settlement_id::text,
        'compare its lines with its transfers; settle the missing amount under another id'
    from (
        select m.settlement_id
        from (
            select l.settlement_id, l.payee_id, l.source_transaction, l.amount_minor as owed_minor,
                0 as made_minor
            from lines as l
            where exists (select from jobs as j where j.settlement_id = l.settlement_id)
            union all
            select t.settlement_id, t.payee_id, t.source_transaction, 0, t.amount_minor
            from payout.payout_transfers as t
            where t.settlement_id between p_from and p_to
        ) as m
        group by m.settlement_id, m.payee_id, m.source_transaction
        having sum(m.owed_minor) <> sum(m.made_minor)
        union
        select s.settlement_id
        from settled as s
        left join lines as l on l.settlement_id = s.settlement_id
        where exists (select from jobs as j where j.settlement_id = s.settlement_id)
        group by s.settlement_id, s.total_minor
        having s.total_minor is distinct from sum(l.amount_minor)
    ) as w
    union all
    select 'every complete settlement is scheduled', s.settlement_id,
        'select payout.schedule_payout_job(settlement_id), as superuser'
    from settled as s
    where s.state = 'complete'
        and not exists (select from jobs as j where j.settlement_id = s.settlement_id)
    union all
    select 'every reference has its row', o.name,
        'rows were changed while the guards were off: compare with a backup'
    from (
        select l.settlement_id, format('settlement_lines %s %s', l.settlement_id, l.line_id)
        from lines as l
        union all
        select j.settlement_id, 'payout_jobs ' || j.payout_job_id from jobs as j
    ) as o (settlement_id, name)
    where not exists (select from settled as s where s.settlement_id = o.settlement_id)
    union all
    select 'no secret in any row', 'settlements.metadata ' || s.settlement_id,
        'revoke that key at Stripe, then find out who wrote it'
    from settled as s
    where s.metadata::text ~ '(^|[^A-Za-z0-9])[sr]k_(live|test)_[A-Za-z0-9]'
$$;
comment on function payout.check_settlements(text, text) is
    'Part of payout_api.verify_settlements().';
-- frozen: procedures/operate/check_transactions.sql cbad5d61aa5f
create or replace function payout.check_transactions()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    select 'no transaction was left open', count(*) = 0,
        coalesce(string_agg(o.told, ', '), 'none is older than 15 minutes') || case
            when pg_has_role('pg_read_all_stats', 'usage') then '' else
                '; sessions of other logins are hidden: grant pg_read_all_stats to payout_owner'
        end,
        'end it: pg_terminate_backend(process), rollback prepared, pg_drop_replication_slot'
    from (
        select format('process %s of %s since %s', a.pid, a.usename, a.xact_start) as told
        from pg_stat_activity as a
        where a.xact_start < clock_timestamp() - interval '15 minutes'
            and (a.backend_xid is not null or a.backend_xmin is not null)
            and a.backend_type = 'client backend'
        union all
        select format('prepared %s since %s', p.gid, p.prepared)
        from pg_prepared_xacts as p
        where p.prepared < clock_timestamp() - interval '15 minutes'
        union all
        select format('replication slot %s', r.slot_name)
        from pg_replication_slots as r
        where greatest(age(r.xmin), age(r.catalog_xmin)) > 1000000
        union all
        select format('one that is %s transactions old', n.distance)
        from (
            select pg_snapshot_xmax(s)::text::numeric - pg_snapshot_xmin(s)::text::numeric
            from pg_current_snapshot() as s
        ) as n (distance)
        where n.distance > 1000000
    ) as o
    union all
    select 'outcomes can be read', count(*) = 0,
        coalesce(
            string_agg(distinct format('%s holds up what came after number %s', w.holder, w.last),
                ', '),
            'no writer is older than five minutes'),
        'the application reads nothing beyond it: end that transaction'
    from (
        select coalesce('process ' || min(l.pid), 'a prepared transaction') as holder,
            min(l.classid::bigint << 32 | l.objid::bigint)
                filter (where l.locktype = 'advisory' and l.objsubid = 1)
                + 9000000000000000000 as last
        from pg_locks as l
        where l.database = (
                select d.oid from pg_database as d where d.datname = current_database())
            and l.pid is distinct from pg_backend_pid()
        group by l.virtualtransaction
        having bool_or(l.relation = 'payout.outcomes'::regclass and l.mode = 'RowExclusiveLock')
    ) as w
    where exists (
        select from payout.outcomes as o
        where o.outcome_id > w.last and o.changed_at < clock_timestamp() - interval '5 minutes'
    )
$$;
comment on function payout.check_transactions() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/check_upkeep.sql 677262671744
create or replace function payout.check_upkeep()
returns table (check_name text, is_ok boolean, detail text, hint text)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
    -- A login that may only read has the setting for itself.
    select 'transactions may write',
        s.setting = 'off' or s.source in ('user', 'database user', 'client', 'session'),
        format('default_transaction_read_only %s (%s)', s.setting, s.source),
        'a managed server does so while its disk is full: give it room'
    from pg_settings as s
    where s.name = 'default_transaction_read_only'
    union all
    select 'notifications are read', pg_notification_queue_usage() < 0.5,
        format('%s %% of the queue wait', round(100 * pg_notification_queue_usage()::numeric, 1)),
        'a session that listens is stuck in a transaction; at 90 % the engine sends none'
    union all
    select 'no replication slot keeps the log', count(*) = 0,
        coalesce(string_agg(format('%s keeps %s', r.slot_name, pg_size_pretty(r.kept)), ', '),
            'none keeps more than 1 GB'),
        'drop the slot, or mend its reader: the log fills the disk'
    from (
        select s.slot_name, case when not pg_is_in_recovery() then
            pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) end as kept
        from pg_replication_slots as s
    ) as r
    where r.kept > 1073741824
    union all
    select 'the log is archived',
        a.last_failed_time is null or coalesce(a.last_archived_time > a.last_failed_time, false)
            or current_setting('archive_mode') = 'off',
        format('archive_mode %s, failed %s times, lately at %s', current_setting('archive_mode'),
            a.failed_count, coalesce(a.last_failed_time::text, 'no time')),
        'see archive_command and the server''s log: what is not archived fills the disk'
    from pg_stat_archiver as a
    union all
    select 'transaction numbers suffice', max(d.age) < 1000000000,
        format('the oldest of %s is %s transactions old', string_agg(d.datname, ', '), max(d.age)),
        'vacuum (freeze) what pg_class.relfrozenxid shows as the oldest; at 2 billion the server '
        'stops'
    from (
        select b.datname, greatest(age(b.datfrozenxid), mxid_age(b.datminmxid)) as age
        from pg_database as b
        order by 2 desc
        limit 1
    ) as d
    union all
    select 'hot tables are vacuumed', count(*) = 0,
        coalesce(string_agg(format('%s: %s dead rows beside %s, %s',
                t.relid::regclass, t.n_dead_tup, t.n_live_tup,
                pg_size_pretty(pg_total_relation_size(t.relid))), ', '),
            'none has many dead rows'),
        'find out what holds vacuum up; then vacuum them, and see autovacuum'
    from pg_stat_all_tables as t
    where t.schemaname in ('payout', 'procrastinate')
        and t.n_dead_tup > 100000 and t.n_dead_tup > 4 * t.n_live_tup
$$;
comment on function payout.check_upkeep() is 'Part of payout_api.doctor().';
-- frozen: procedures/operate/close_reversed.sql e2172e4f3eb2
create or replace function payout.close_reversed(
    p_verb text,
    p_payee_id text,
    p_currency text,
    p_payout_transfer_ids bigint[],
    p_amount_minor bigint,
    p_reason text,
    p_preview boolean
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_acts payout.act_result[];
    v_open_minor numeric;
    v_action_id bigint;
begin
    perform from payout.transfer_states as s
    where s.payout_transfer_id = any (p_payout_transfer_ids)
    order by s.payout_transfer_id for update;
    select coalesce(sum(r.open_minor), 0),
        array_agg(row(r.payout_transfer_id, r.settlement_id, r.payee_id,
            payout_api.major_units(r.part_minor, r.currency), r.part_minor, r.currency, 'paid',
            case when p_preview then 'preview' else 'done' end,
            format('%s of %s reversed%s', payout_api.major_units(r.part_minor, r.currency),
                payout_api.major_units(r.open_minor, r.currency),
                case when p_preview and p_amount_minor > e.approval_limit_minor
                    then ', once another person approves' end))::payout.act_result
            order by r.payout_transfer_id) filter (where r.part_minor > 0)
    into v_open_minor, v_acts
    from (
        -- Numeric: what several transfers owe need not be a bigint.
        select o.*, least(o.open_minor, p_amount_minor::numeric + o.open_minor
            - sum(o.open_minor) over (order by o.payout_transfer_id))::bigint as part_minor
        from payout_api.reversed_money as o
        where o.payout_transfer_id = any (p_payout_transfer_ids)
    ) as r
    cross join payout.engine_settings as e;
    if coalesce(btrim(p_reason), '') = '' or coalesce(p_amount_minor, 0) <= 0
        or p_amount_minor > v_open_minor then
        raise exception 'cannot % % % of %, of whom % reversed are owed, for reason %',
            replace(p_verb, '_', ' '),
            coalesce(payout_api.major_units(p_amount_minor, p_currency)::text, 'the'), p_currency,
            p_payee_id, coalesce(payout_api.major_units(v_open_minor, p_currency), 0),
            coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP314',
                hint = 'payout_api.reversed_money has the amounts, in minor units; give a reason.';
    end if;
    if p_preview is not true then
        perform payout.refuse_old_snapshot('nothing is done');
        insert into payout.operator_actions (action, subject, reason, details)
        values (p_verb, p_payee_id, p_reason, jsonb_build_object(
            'currency', p_currency, 'amount_minor', p_amount_minor,
            'payout_transfer_ids', to_jsonb(p_payout_transfer_ids)))
        returning operator_action_id into v_action_id;
        insert into payout.ledger_entries (
            payout_transfer_id, kind, generation, debit_account, credit_account, amount_minor,
            currency, operator_action_id)
        select a.payout_transfer_id, 'write_off', s.generation, 'payable:' || a.payee_id,
            'settlement_funds', a.amount_minor, a.currency, v_action_id
        from unnest(v_acts) as a
        join payout.transfer_states as s on s.payout_transfer_id = a.payout_transfer_id;
        delete from payout.open_reversals as o
        where o.payout_transfer_id = any (p_payout_transfer_ids)
            and not exists (
                select from payout_api.reversed_money as m
                where m.payout_transfer_id = o.payout_transfer_id
            );
    end if;
    return query select * from unnest(v_acts);
end
$$;
comment on function payout.close_reversed(
    text, text, text, bigint[], bigint, text, boolean
) is
    'Books p_amount_minor of these transfers of a payee as write_off entries; one row for each '
    'transfer. A preview changes nothing, and says if another person has to approve.';
-- frozen: procedures/operate/do_proposed.sql f256ec907e38
create or replace function payout.do_proposed(p_proposal payout.operator_actions)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_details jsonb := p_proposal.details;
    v_verb text := v_details ->> 'verb';
    v_ids bigint[] := array(
        select i::bigint from jsonb_array_elements_text(v_details -> 'payout_transfer_ids') as i);
    v_hold_ids bigint[];
begin
    perform payout.refuse_old_snapshot('nothing is done');
    -- An alarm has locked the hold that it relies on.
    if v_verb = 'release_hold' then
        v_hold_ids := array(
            select h.hold_id
            from payout.holds as h
            where h.hold_id = p_proposal.subject::bigint and h.released_at is null
            for update);
    else
        perform from payout.transfer_states as s
        where s.payout_transfer_id = any (v_ids)
        order by s.payout_transfer_id
        for update;
    end if;
    if v_details <> v_details || payout.known_of(v_verb, v_ids) then
        raise exception 'proposal %: another send, alarm or stop came meanwhile',
            p_proposal.operator_action_id
            using
                errcode = 'SP402',
                hint = 'Look at payout_api.unpaid and doctor(), then have it proposed again.';
    end if;

    case v_verb
        when 'adopt_database' then
            perform payout.adopt(p_proposal.reason, (v_details ->> 'without_reconcile')::boolean);
        when 'release_hold' then
            perform payout.end_holds(v_hold_ids, session_user, p_proposal.reason);
        when 'write_off' then
            return query select * from payout.close_reversed(
                'write_off', v_details ->> 'payee_id', v_details ->> 'currency', v_ids,
                (v_details ->> 'amount_minor')::bigint, p_proposal.reason, false);
        when 'repay' then
            return query select * from payout.pay_again(
                v_ids[1], (v_details ->> 'amount_minor')::bigint, p_proposal.reason);
        else
            return query select * from payout.act(
                v_verb, v_ids, p_proposal.reason, false, v_details - 'verb');
    end case;
end
$$;
comment on function payout.do_proposed(payout.operator_actions) is
    'Does it as things stand now; one row for each transfer that it is about.';
-- frozen: procedures/operate/doctor.sql 131b8864f2b3
create or replace function payout_api.doctor(
    p_stripe_account_id text default null, p_is_livemode boolean default null
)
returns table (check_name text, status text, detail text, hint text)
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set plan_cache_mode = force_custom_plan
as $$
    select c.check_name,
        case
            when c.is_ok then 'ok'
            -- Meant by somebody, or no danger to money yet.
            when c.check_name in (
                'nothing is on hold', 'no currency waits for funds', 'each login has one part',
                'no login passes the rights', 'no settlement was edited after it was settled',
                'the queue is the engine''s own', 'workers are of one release',
                'notifications are read', 'no replication slot keeps the log',
                'the log is archived', 'transaction numbers suffice', 'hot tables are vacuumed',
                'no transaction was left open', 'outcomes can be read'
            ) then 'warning'
            else 'failure'
        end,
        c.detail, c.hint
    from (
        select * from payout.check_server()
        union all
        select * from payout.check_upkeep()
        union all
        select * from payout.check_transactions()
        union all
        select * from payout.check_identity(p_stripe_account_id, p_is_livemode)
        union all
        select * from payout.check_catalogue()
        union all
        select * from payout.check_numbers()
        union all
        select * from payout.check_logins()
        union all
        select * from payout.check_queue()
        union all
        select * from payout.check_queue_code()
        union all
        select * from payout.check_holds()
        union all
        select * from payout.check_books()
        union all
        select * from payout.check_seals()
    ) as c
$$;
comment on function payout_api.doctor(text, boolean) is
    'Checks server, transactions, identity, catalogue, logins, queue, holds, dates, reads, books '
    'and the newest seals; status is ok, warning or failure, and hint names the next step. The '
    'Stripe account is that of the caller''s key, if it has one.';
grant execute on function payout_api.doctor(text, boolean)
    to payout_worker, payout_operator, payout_auditor;
-- frozen: procedures/operate/end_not_ours_rule.sql d27685d6ee04
create or replace function payout_api.end_not_ours_rule(p_rule_id bigint, p_reason text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_rule payout.not_ours_rules;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot end rule % without a reason', p_rule_id
            using
                errcode = 'SP313',
                hint = 'Say why such transfers are to be looked at again.';
    end if;

    update payout.not_ours_rules as r
    set ended_at = payout.clock(),
        ended_by = session_user,
        end_reason = p_reason
    where r.not_ours_rule_id = p_rule_id and r.ended_at is null
    returning * into v_rule;
    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('end_not_ours_rule', v_rule.not_ours_rule_id::text, p_reason, to_jsonb(v_rule));
        return 'done';
    elsif exists (
        select from payout.not_ours_rules as r where r.not_ours_rule_id = p_rule_id
    ) then
        return 'already';
    end if;
    raise exception 'rule % does not exist', p_rule_id
        using
            errcode = 'SP310',
            hint = 'select * from payout_api.not_ours';
end
$$;
comment on function payout_api.end_not_ours_rule(bigint, text) is
    'Ends a rule with a reason: done, or already; the next comparison reads all of Stripe''s '
    'transfers, and finds those that it hid.';
grant execute on function payout_api.end_not_ours_rule(bigint, text) to payout_operator;
-- frozen: sql/views/reversed_money.sql a23a053516fa
create or replace view payout_api.reversed_money as
select
    t.payout_transfer_id,
    t.settlement_id,
    t.payee_id,
    t.currency,
    t.amount_minor,
    r.reversed_minor,
    r.closed_minor,
    r.reversed_minor - r.closed_minor as open_minor,
    r.since,
    s.stripe_transfer_id,
    format(
        'Owed to the payee again, and not sent by itself. If it is their loss: select * from '
        'payout_api.write_off(%L, %L, %s, ''…''); if they are to have it: select * from '
        'payout_api.repay(%s, ''…'').',
        t.payee_id, t.currency, r.reversed_minor - r.closed_minor, t.payout_transfer_id
    ) as what_to_do
from (select distinct o.payout_transfer_id from payout.open_reversals as o) as x
join payout.transfer_states as s on s.payout_transfer_id = x.payout_transfer_id
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
cross join lateral (
    select
        coalesce(sum(e.amount_minor) filter (where e.kind = 'reversal'), 0)::bigint
            as reversed_minor,
        coalesce(sum(e.amount_minor) filter (where e.kind = 'write_off'), 0)::bigint
            as closed_minor,
        min(e.created_at) as since
    from payout.ledger_entries as e
    where e.payout_transfer_id = s.payout_transfer_id
        and e.kind in ('reversal', 'write_off')
) as r
where r.reversed_minor > r.closed_minor;
comment on view payout_api.reversed_money is
    'One row for each paid transfer of which Stripe took more back than has been written off or '
    'repaid: open_minor is owed to the payee again, with the calls that end it.';
-- frozen: sql/views/seen_at_stripe.sql e07dff99a1c6
create or replace view payout_api.seen_at_stripe as
select o.payout_transfer_id, o.observation_id
from payout.transfer_observations as o
where (o.facts ->> 'found')::integer > 0 or (o.stripe_transfer_id is not null
    and (o.signal <> 'response' or o.verdict = 'alarm' or o.moved_to = 'paid'));
comment on view payout_api.seen_at_stripe is
    'One row for each observation, accepted or not, that tells of the transfer at Stripe.';
-- frozen: sql/views/explained.sql 40ab780ec8d1
create or replace view payout_api.explained as
with first_holds as not materialized (
    select distinct on (h.scope, h.subject) h.scope, h.subject, h.hold_id, h.reason
    from payout.holds as h
    where h.released_at is null
        and h.awaits is null
    order by h.scope, h.subject, h.hold_id
), waits as not materialized (
    select h.scope, h.subject, h.awaits, h.hold_id, h.reason, h.goes_on_at, h.probe_transfer_id
    from payout.holds as h
    where h.released_at is null
        and h.awaits is not null
)
select
    t.payout_transfer_id,
    t.settlement_id,
    t.payee_id,
    coalesce(q.destination, n.stripe_account_id) as destination,
    t.amount_minor * c.minor_unit as amount,
    t.amount_minor,
    t.currency,
    s.state,
    coalesce(s.reason, w.reason, st.meaning) as reason,
    o.sentence as stripe_said,
    s.changed_at as since,
    x.situation,
    x.whose_turn,
    u.until as next_attempt_at,
    concat_ws(' ', r.advice, replace(replace(x.for_operator,
        '{until}', coalesce(date_trunc('second', u.until)::text, 'the next sweep')),
        '{why}', coalesce(case when x.situation = 'on_hold' then h.reason else o.alarm end, ''))
    ) as advice,
    replace(replace(x.next_call, '{transfer}', t.payout_transfer_id::text),
        '{hold}', coalesce(h.hold_id, w.hold_id, 0)::text) as next_call,
    x.for_seller,
    t.payout_ref,
    s.generation,
    s.attempt
from payout.transfer_states as s
join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
join payout.states as st on st.state = s.state
left join payout.currencies as c on c.currency = t.currency
left join payout.transfer_requests as q
    on q.payout_transfer_id = s.payout_transfer_id and q.generation = s.generation
left join lateral (
    select a.stripe_account_id
    from payout.payee_accounts as a
    where a.payee_id = t.payee_id
    order by a.payee_account_id desc
    limit 1
) as n on true
left join lateral (
    select
        (array_agg(m.error_rule_id order by m.observation_id desc) filter (
            where m.moved_to is not null and m.error_rule_id is not null))[1] as error_rule_id,
        (array_agg(m.facts ->> 'error_message' order by m.observation_id desc) filter (
            where m.signal = 'response' and m.facts ? 'error_message'))[1] as sentence,
        (array_agg(m.reason order by m.observation_id desc) filter (
            where m.verdict = 'alarm' and s.state in ('parked', 'failed')))[1] as alarm
    from payout.transfer_observations as m
    where m.payout_transfer_id = s.payout_transfer_id
        and s.state in ('retry_wait', 'unknown', 'parked', 'failed')
) as o on true
left join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
-- Joins by equality, which Postgres can hash, however many holds there are. An alarm and a person
-- may hold one subject each: the first hold is shown.
left join first_holds as he on he.scope = 'engine'
left join first_holds as hc on hc.scope = 'currency' and hc.subject = t.currency
left join first_holds as hp on hp.scope = 'payee' and hp.subject = t.payee_id
left join first_holds as hs on hs.scope = 'settlement' and hs.subject = t.settlement_id
left join first_holds as ht on ht.scope = 'transfer' and ht.subject = t.payout_transfer_id::text
cross join lateral (
    select coalesce(he.hold_id, hc.hold_id, hp.hold_id, hs.hold_id, ht.hold_id) as hold_id,
        coalesce(he.reason, hc.reason, hp.reason, hs.reason, ht.reason) as reason
) as h
left join waits as wc
    on wc.scope = 'currency' and wc.subject = t.currency and wc.awaits = 'cap'
left join waits as wf
    on wf.scope = 'currency' and wf.subject = t.currency and wf.awaits = 'funds'
left join waits as wa
    on wa.scope = 'payee' and wa.subject = t.payee_id and wa.awaits = 'account'
left join waits as wn
    on wn.scope = 'payee' and wn.subject = t.payee_id and wn.awaits = 'account_change'
left join waits as wt on wt.scope = 'transfer' and wt.subject = t.payout_transfer_id::text
-- The one that lasts longest, of those that stop this transfer (wait_of).
left join lateral (
    select k.hold_id, k.reason, k.goes_on_at, 'waits_for_' || k.awaits
        || case when k.goes_on_at is null then '_without_end' else '' end as situation
    from (values
        (wc.hold_id, wc.awaits, wc.reason, wc.goes_on_at),
        (wf.hold_id, wf.awaits, wf.reason, wf.goes_on_at),
        (wa.hold_id, wa.awaits, wa.reason, wa.goes_on_at),
        (wn.hold_id, wn.awaits, wn.reason, wn.goes_on_at),
        (wt.hold_id, wt.awaits, wt.reason, wt.goes_on_at)
    ) as k (hold_id, awaits, reason, goes_on_at)
    where k.hold_id is not null
        and h.hold_id is null
        and (s.state = 'scheduled' and s.window_begins_at is null or s.state = 'failed')
        and s.next_attempt_at is not null
        and (k.awaits <> 'funds' or t.source_transaction is null or k.hold_id = s.hold_id)
        and (k.awaits in ('cap', 'account_change') or s.hold_id is not null
            or t.payout_transfer_id not in (
                select p.probe_transfer_id from waits as p where p.probe_transfer_id is not null))
    order by k.goes_on_at desc nulls first, k.hold_id
    limit 1
) as w on true
cross join lateral (
    select case
        when w.hold_id is not null then w.goes_on_at
        when s.state in ('parked', 'failed', 'scheduled')
            then coalesce(s.next_lookup_at, s.next_attempt_at)
        else s.next_attempt_at
    end as until
) as u
join payout.situations as x on x.situation = case
    when s.state in ('cancelled', 'settled_outside') then s.state::text
    when s.state = 'paid' then case
        when exists (
            select from payout_api.reversed_money as m
            where m.payout_transfer_id = s.payout_transfer_id
        ) then 'reversed'
        else 'paid'
    end
    when s.state = 'in_flight' then 'being_sent'
    when s.state = 'parked' then case
        when s.reason = 'absence_awaits_approval' then 'awaits_approval'
        when s.reason = 'stripe_may_execute_later' then 'may_be_executed_later'
        when o.alarm is not null then 'shown_otherwise'
        else 'looked_up'
    end
    when s.state = 'failed' then case
        when exists (
            select from payout_api.seen_at_stripe as o
            where o.payout_transfer_id = s.payout_transfer_id
        ) then 'shown_under_a_closed_key'
        when w.hold_id is null
            and s.generation >= (select e.max_generations from payout.engine_settings as e)
            and s.generation - (
                select count(*)
                from payout.transfer_observations as o
                join payout.stripe_error_rules as r on r.error_rule_id = o.error_rule_id
                where o.payout_transfer_id = s.payout_transfer_id
                    and o.moved_to = 'failed'
                    and r.awaits = 'funds'
            ) >= (select e.max_generations from payout.engine_settings as e)
            then 'keys_used_up'
        when h.hold_id is not null and s.next_attempt_at is not null then 'on_hold'
        when w.hold_id is not null then w.situation
        when s.next_attempt_at is not null then 'tried_again_later'
        else 'declined'
    end
    when s.state = 'scheduled' and s.next_attempt_at is null then 'waiting_for_account'
    when h.hold_id is not null then 'on_hold'
    when w.hold_id is not null then w.situation
    when s.state = 'retry_wait' then 'sent_again_later'
    when s.state = 'unknown' then 'asked_again_later'
    when s.next_lookup_at is not null then 'looked_for_first'
    when s.next_attempt_at > now() then 'scheduled_for_later'
    else 'due'
end;
comment on view payout_api.explained is
    'One row for each transfer: destination (before the first send the payee''s present account), '
    'amount in the currency itself, '
    'state, reason, Stripe''s own sentence if it refused, since when, '
    'whose turn it is, when the engine acts next by itself, the next step in words, the call that '
    'moves it, and the words for the payee.';
grant select on payout_api.explained to payout_approver;
-- frozen: procedures/operate/explain.sql 0ae231ac323b
create or replace function payout_api.explain(
    p_payout_transfer_id bigint default null,
    p_settlement_id text default null,
    p_payee_id text default null
)
returns setof payout_api.explained
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
as $$
begin
    return query
    select e.*
    from payout_api.explained as e
    where e.payout_transfer_id = any (
        payout.selected_transfers(p_payout_transfer_id, p_settlement_id, p_payee_id))
    order by e.payout_transfer_id;
end
$$;
comment on function payout_api.explain(bigint, text, text) is
    'The rows of payout_api.explained for a transfer, the transfers of a settlement, or those of a '
    'payee that are not paid.';
grant execute on function payout_api.explain(bigint, text, text)
    to payout_operator, payout_approver, payout_auditor;
-- frozen: procedures/operate/hold.sql 805b2abc5972
create or replace function payout_api.hold(
    p_scope text,
    p_reason text,
    p_subject text default null,
    p_until timestamptz default null
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_exists boolean;
    v_hold_id bigint;
    v_reason text;
begin
    if p_scope is null or p_scope not in (
            'engine', 'currency', 'payee', 'settlement', 'transfer')
        or (p_scope = 'engine') <> (p_subject is null)
        or coalesce(btrim(p_reason), '') = '' or p_until <= payout.clock() then
        raise exception 'cannot hold % % for reason %', coalesce(p_scope, 'null'),
            coalesce(p_subject, 'without subject'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Scopes: engine (no subject), currency, payee, settlement, transfer; give a '
                    'reason; p_until lies in the future.';
    end if;
    -- A statement each: a hold on the engine waits for no lock on any of these tables.
    case p_scope
        when 'engine' then
            v_exists := true;
        when 'currency' then
            v_exists := exists (select from payout.currencies as c where c.currency = p_subject);
        when 'payee' then
            v_exists := exists (select from payout.payees as p where p.payee_id = p_subject);
        when 'settlement' then
            v_exists := exists (
                select from payout.settlements as s where s.settlement_id = p_subject);
        when 'transfer' then
            v_exists := p_subject ~ '^[1-9][0-9]{0,17}$' and exists (
                select from payout.payout_transfers as t
                where t.payout_transfer_id = p_subject::bigint);
    end case;
    if not v_exists then
        raise exception 'there is no % % to hold', p_scope, p_subject
            using
                errcode = 'SP310',
                hint = 'Currencies are written in lower case; look for the exact id.';
    end if;

    v_hold_id := payout.place_hold(p_scope, p_subject, p_reason, null, p_until);
    select h.reason into strict v_reason from payout.holds as h where h.hold_id = v_hold_id;
    if v_reason <> p_reason then
        raise notice 'hold % is there already, for reason %, which stays', v_hold_id,
            quote_literal(v_reason)
            using hint = 'Who releases it reads that reason alone: to give both, release it and '
                'hold anew, in one transaction.';
    end if;
    return v_hold_id;
end
$$;
comment on function payout_api.hold(text, text, text, timestamptz) is
    'Stops new sends of a scope (engine, currency, payee, settlement, transfer) until the hold is '
    'released, or until p_until; returns the hold.';
grant execute on function payout_api.hold(text, text, text, timestamptz) to payout_operator;
-- frozen: procedures/operate/known_of.sql ff9f1acbe0f4
create or replace function payout.known_of(p_verb text, p_payout_transfer_ids bigint[])
returns jsonb
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select case
        when p_payout_transfer_ids <> '{}' then jsonb_build_object(
            'payout_transfer_ids', to_jsonb(p_payout_transfer_ids),
            'attempts', (
                select jsonb_agg(s.attempt order by s.payout_transfer_id)
                from payout.transfer_states as s
                where s.payout_transfer_id = any (p_payout_transfer_ids)),
            'discrepancies', (
                select count(*)
                from payout.discrepancies as d
                where d.payout_transfer_id = any (p_payout_transfer_ids)))
            || case when p_verb in ('write_off', 'repay') then jsonb_build_object(
                'closings', (
                    select count(l.ledger_entry_id)
                    from payout.ledger_entries as l
                    where l.payout_transfer_id = any (p_payout_transfer_ids)
                        and l.kind = 'write_off')) else '{}' end
        when p_verb = 'adopt_database' and payout.identity_problem() is not null
            then jsonb_build_object(
                'problem', payout.identity_problem(),
                'newest_adoption_id', (select max(a.adoption_id) from payout.adoptions as a))
        else '{}'
    end
$$;
comment on function payout.known_of(text, bigint[]) is
    'Of transfers their numbers, their attempts in that order, and how many discrepancies they '
    'have; of the database the reason for which claims are stopped, and its newest adoption.';
-- frozen: procedures/operate/major_units.sql b9c820afb15f
create or replace function payout_api.major_units(p_amount_minor numeric, p_currency text)
returns numeric
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
    select p_amount_minor * c.minor_unit
    from payout.currencies as c
    where c.currency = p_currency
$$;
comment on function payout_api.major_units(numeric, text) is
    'The amount in the currency itself, with the currency''s digits: 15.00 for 1500 usd; null for '
    'a currency that is not in payout.currencies.';
grant execute on function payout_api.major_units(numeric, text)
    to payout_operator, payout_auditor;
-- frozen: procedures/operate/measure.sql ed8fbdcc84ac
create or replace function payout_api.measure(p_worker text)
returns table (metric text, meaning text, labels jsonb, value double precision)
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
set work_mem = '16MB'
as $$
declare
    v_now timestamptz := payout.clock();
begin
    -- Two that call at once: one of them waits for its next turn. The first row is the lock: an
    -- advisory one could be taken by any login, for good.
    perform
    from payout.workers as w
    where w.worker = (select min(f.worker) from payout.workers as f)
    for no key update skip locked;
    if not found then
        return;
    end if;
    update payout.workers as w
    set measured_at = v_now
    where w.worker = p_worker
        and not exists (
            select from payout.workers as o
            where o.worker <> p_worker and o.measured_at > v_now - interval '45 seconds'
        );
    if not found then
        return;
    end if;
    return query
    select g.metric, g.meaning, g.labels, g.value from payout_api.gauges as g
    union all
    select m.metric, m.meaning, m.labels, m.value::double precision
    from (
        select 'payout_is_stopped', 'One while the database is not adopted: nothing is claimed.',
            '{}'::jsonb, (payout.identity_problem() is not null)::integer::numeric
        union all
        select 'payout_seal_lag_seconds', 'Age of the oldest fact that is not sealed.', '{}',
            coalesce(extract(epoch from v_now - min(r.row_at)), 0)
        from payout.first_unsealed_rows() as r
        union all
        select 'payout_compared_seconds',
            'Time since Stripe''s transfers were compared, all and the newest.',
            jsonb_build_object('kind', k.kind),
            extract(epoch from v_now - coalesce(r.finished_at, e.created_at, v_now))
        from unnest('{comparison,newest}'::text[]) as k (kind)
        cross join lateral payout.newest_read(k.kind) as r
        left join lateral (
            select n.created_at from payout.ledger_entries as n order by n.ledger_entry_id limit 1
        ) as e on true
    ) as m (metric, meaning, labels, value);
end
$$;
comment on function payout_api.measure(text) is
    'Names, meanings, labels and values of the gauges, or no row while another worker measures; '
    'the worker is one that heartbeat has noted.';
grant execute on function payout_api.measure(text) to payout_worker;
-- frozen: procedures/operate/park.sql 0f84c719dd6f
create or replace function payout_api.park(
    p_reason text,
    p_payout_transfer_id bigint default null,
    p_settlement_id text default null,
    p_payee_id text default null,
    p_currency text default null,
    p_because text default null,
    p_preview boolean default false
)
returns setof payout.act_result
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
    select * from payout.act(
        'park',
        payout.selected_transfers(
            p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency, p_because),
        p_reason, p_preview)
$$;
comment on function payout_api.park(
    text, bigint, text, text, text, text, boolean
) is
    'Parks transfers that wait to be sent again, named by any of the marks, joined by and: they '
    'are looked up at Stripe first. One row for each with its result; p_preview changes nothing.';
grant execute on function payout_api.park(
    text, bigint, text, text, text, text, boolean
) to payout_operator;
-- frozen: procedures/operate/pay_again.sql 2c9ca954c0cb
create or replace function payout.pay_again(
    p_payout_transfer_id bigint, p_amount_minor bigint, p_reason text
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_transfer payout.payout_transfers;
    v_settlement_id text;
begin
    select * into strict v_transfer
    from payout.payout_transfers as t
    where t.payout_transfer_id = p_payout_transfer_id;
    perform payout.close_reversed(
        'repay', v_transfer.payee_id, v_transfer.currency, array[p_payout_transfer_id],
        p_amount_minor, p_reason, false);
    v_settlement_id := (
        select i.settlement_id
        from generate_series(1, 1000) as n (number)
        cross join lateral (
            select replace(v_transfer.payout_ref, 'payout_', 'repay_') || '_' || n.number
        ) as i (settlement_id)
        where not exists (
            select from payout.settlements as s where s.settlement_id = i.settlement_id)
        order by n.number
        limit 1);
    perform payout_api.complete_settlement(
        v_settlement_id, v_transfer.currency, jsonb_build_array(jsonb_build_object(
            'line_id', '1', 'payee_id', v_transfer.payee_id, 'amount_minor', p_amount_minor)));
    return query
    select t.payout_transfer_id, t.settlement_id::text, t.payee_id::text,
        payout_api.major_units(t.amount_minor, t.currency), t.amount_minor, t.currency::text,
        s.state::text, 'done', format(
            'pays again what was reversed of transfer %s', p_payout_transfer_id)
    from payout.payout_transfers as t
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where t.settlement_id = v_settlement_id;
end
$$;
comment on function payout.pay_again(bigint, bigint, text) is
    'Closes this amount of what is owed of the reversed transfer and schedules a new one for it; '
    'returns the new one.';
-- frozen: procedures/operate/previewed_acts.sql 0f7309da07dc
create or replace function payout.previewed_acts(
    p_verb text, p_payout_transfer_ids bigint[], p_takes_two boolean
)
returns setof payout.act_result
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    with uncompared as materialized (
        select case
            when p_verb in ('cancel', 'settle_outside')
                and exists (select from payout.transfer_attempts)
                and not payout.is_compared(e.comparison_counts_for)
                then 'Stripe''s newest transfers were not compared lately, and may show it: a '
                    'worker compares them by itself, as payout-engine reconcile does'
        end as problem
        from payout.engine_settings as e
    )
    select t.payout_transfer_id, t.settlement_id::text, t.payee_id::text,
        payout_api.major_units(t.amount_minor, t.currency), t.amount_minor, t.currency::text,
        s.state::text,
        case
            when j.verdict = 'already' then 'already'
            when j.verdict = 'ok' and c.problem is null then 'preview'
            else 'refused'
        end,
        case j.verdict
            when 'stale' then j.reason
            when 'ok' then coalesce(c.problem, concat_ws(', ',
                coalesce('becomes ' || nullif(j.to_state, s.state::text), 'goes on now'),
                case when p_takes_two then 'once another person approves' end))
        end
    from payout.transfer_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    cross join payout.engine_settings as e
    cross join uncompared as c
    cross join lateral payout.judge_act(p_verb, s, t, e) as j
    where s.payout_transfer_id = any (p_payout_transfer_ids)
    order by s.payout_transfer_id
$$;
comment on function payout.previewed_acts(text, bigint[], boolean) is
    'One row for each transfer, with result preview, already or refused.';
-- frozen: procedures/operate/propose.sql a06f585f327e
create or replace function payout.propose(
    p_verb text,
    p_reason text,
    p_payout_transfer_ids bigint[],
    p_details jsonb default '{}',
    p_subject text default null
)
returns setof payout.act_result
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_subject text := coalesce(p_subject,
        case cardinality(p_payout_transfer_ids) when 1 then p_payout_transfer_ids[1]::text end);
    v_details jsonb := p_details || jsonb_build_object('verb', p_verb)
        || payout.known_of(p_verb, p_payout_transfer_ids);
    v_call text;
    v_proposal_id bigint;
begin
    select a.operator_action_id into v_proposal_id
    from payout.operator_actions as a
    where a.expires_at > payout.clock()
        and a.action = 'propose'
        and a.subject is not distinct from v_subject
        and a.details = v_details
        and a.acted_by = session_user
        and not exists (
            select from payout.operator_actions as e
            where e.proposal_id = a.operator_action_id
        )
    limit 1;
    if not found then
        insert into payout.operator_actions (action, subject, reason, details, expires_at)
        select 'propose', v_subject, p_reason, v_details,
            payout.clock() + e.proposals_expire_after
        from payout.engine_settings as e
        returning operator_action_id into v_proposal_id;
    end if;
    v_call := format('select * from payout_api.approve(%s, ''…'')', v_proposal_id);
    raise notice 'proposal % waits for another person: %', v_proposal_id, v_call;
    return query
    select t.payout_transfer_id, t.settlement_id::text, t.payee_id::text,
        payout_api.major_units(t.amount_minor, t.currency), t.amount_minor, t.currency::text,
        s.state::text, 'proposed', 'another person: ' || v_call
    from payout.payout_transfers as t
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    where t.payout_transfer_id = any (p_payout_transfer_ids)
    order by t.payout_transfer_id;
end
$$;
comment on function payout.propose(text, text, bigint[], jsonb, text) is
    'One row for each transfer, with result proposed and the call that approves, which a notice '
    'shows as well.';
-- frozen: procedures/operate/record_acts.sql 455e16ad57ac
create or replace function payout.record_acts(
    p_verb text, p_payout_transfer_ids bigint[], p_reason text, p_details jsonb
)
returns bigint[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_action_id bigint;
    v_ids bigint[];
begin
    insert into payout.operator_actions (action, subject, reason, details)
    values (p_verb,
        case cardinality(p_payout_transfer_ids) when 1 then p_payout_transfer_ids[1]::text end,
        p_reason,
        p_details || jsonb_build_object('payout_transfer_ids', to_jsonb(p_payout_transfer_ids)))
    returning operator_action_id into v_action_id;
    v_ids := array(
        select r.payout_transfer_id
        from payout.record_outcomes_apart(array(
            select jsonb_populate_record(null::payout.outcome, jsonb_build_object(
                'payout_transfer_id', s.payout_transfer_id,
                'generation', s.generation,
                'attempt', s.attempt,
                'signal', p_verb,
                'operator_action_id', v_action_id,
                'detail', p_details ->> 'reference'))
            from payout.transfer_states as s
            where s.payout_transfer_id = any (p_payout_transfer_ids)
            order by s.payout_transfer_id)) as r
        where r.verdict = 'ok');
    perform payout.end_holds(payout.waits_of(v_ids), session_user, p_reason)
    where p_verb in ('retry', 'approve_absence');
    -- A look decides about these: at once.
    update payout.transfer_states as s
    set next_lookup_at = payout.clock()
    where s.payout_transfer_id = any (v_ids) and s.state in ('parked', 'failed');
    -- The alarm asked for this decision.
    perform payout_api.resolve_discrepancy(d.discrepancy_id, p_reason)
    from payout.discrepancies as d
    where p_verb = 'approve_absence'
        and d.payout_transfer_id = any (v_ids)
        and d.kind = 'absence_awaits_approval'
        and d.resolved_at is null;
    return v_ids;
end
$$;
comment on function payout.record_acts(text, bigint[], text, jsonb) is
    'Numbers of the transfers with which it was done; the others were set aside.';
-- frozen: procedures/operate/release_hold.sql 99285cc6d6f8
create or replace function payout_api.release_hold(p_hold_id bigint, p_reason text)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    -- The operator can have seen the alarms about these at most.
    v_ids bigint[] := array(
        select h.subject::bigint
        from payout.holds as h
        where h.hold_id = p_hold_id and h.scope = 'transfer');
    v_known jsonb := payout.known_of('release_hold', v_ids);
    v_hold payout.holds;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot release hold % without a reason', p_hold_id
            using
                errcode = 'SP313',
                hint = 'Give the reason why sending is safe again.';
    end if;

    select * into v_hold
    from payout.holds as h
    where h.hold_id = p_hold_id
    for update;
    if not found then
        raise exception 'hold % does not exist', p_hold_id
            using
                errcode = 'SP310',
                hint = 'select * from payout.holds where released_at is null';
    elsif v_hold.released_at is not null then
        return 'already';
    elsif v_known <> payout.known_of('release_hold', v_ids) then
        raise exception 'hold %: another alarm came meanwhile', p_hold_id
            using
                errcode = 'SP402',
                hint = 'Look at payout.discrepancies, then release it again.';
    end if;

    perform payout.warn_of_former_accounts(v_hold);
    if exists (
        select from payout.discrepancies as d
        where d.resolved_at is null
            and (d.discrepancy_id = v_hold.discrepancy_id
                -- A transfer has one such hold, however many alarms there are about it.
                or (v_hold.discrepancy_id is not null and d.payout_transfer_id = any (v_ids)))
    ) then
        perform payout.propose('release_hold', p_reason, v_ids, p_subject => p_hold_id::text);
        return 'proposed';
    end if;
    perform payout.end_holds(array[p_hold_id], session_user, p_reason);
    return 'done';
end
$$;
comment on function payout_api.release_hold(bigint, text) is
    'Releases a hold with a reason; the sweep then queues wake-up jobs for due transfers. Done; '
    'already; or proposed: the hold of an open alarm stays until another person approves.';
grant execute on function payout_api.release_hold(bigint, text) to payout_operator;
-- frozen: procedures/operate/repay.sql 11ec8ee114c1
create or replace function payout_api.repay(
    p_payout_transfer_id bigint, p_reason text, p_preview boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := payout.selected_transfers(p_payout_transfer_id);
    v_owed payout.act_result;
begin
    select a.* into v_owed
    from payout.payout_transfers as t
    left join payout_api.reversed_money as r on r.payout_transfer_id = t.payout_transfer_id
    cross join lateral payout.close_reversed(
        'repay', t.payee_id, t.currency, v_ids, r.open_minor, p_reason, true) as a
    where t.payout_transfer_id = p_payout_transfer_id;
    if p_preview is true then
        return next v_owed;
    elsif v_owed.amount_minor > (
        select e.approval_limit_minor from payout.engine_settings as e
    ) then
        return query
        select * from payout.propose(
            'repay', p_reason, v_ids, jsonb_build_object('amount_minor', v_owed.amount_minor));
    else
        return query
        select * from payout.pay_again(p_payout_transfer_id, v_owed.amount_minor, p_reason);
    end if;
end
$$;
comment on function payout_api.repay(bigint, text, boolean) is
    'Pays the open amount of payout_api.reversed_money of a transfer again; returns its new '
    'transfer. p_preview changes nothing.';
grant execute on function payout_api.repay(bigint, text, boolean) to payout_operator;
-- frozen: procedures/operate/resolve_discrepancy.sql e1ac09d979e0
create or replace function payout_api.resolve_discrepancy(
    p_discrepancy_id bigint, p_reason text
)
returns text
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_kind text;
begin
    if coalesce(btrim(p_reason), '') = '' then
        raise exception 'cannot resolve discrepancy % without a reason', p_discrepancy_id
            using
                errcode = 'SP313',
                hint = 'Name the cause, and the action that was taken.';
    end if;

    update payout.discrepancies as d
    set resolved_at = payout.clock(),
        resolved_by = session_user,
        resolution = p_reason
    where d.discrepancy_id = p_discrepancy_id and d.resolved_at is null
    returning d.kind into v_kind;
    if found then
        insert into payout.operator_actions (action, subject, reason, details)
        values ('resolve_discrepancy', v_kind, p_reason,
            jsonb_build_object('discrepancy_id', p_discrepancy_id));
        return 'done';
    elsif exists (
        select from payout.discrepancies as d where d.discrepancy_id = p_discrepancy_id
    ) then
        return 'already';
    end if;
    raise exception 'discrepancy % does not exist', p_discrepancy_id
        using
            errcode = 'SP310',
            hint = 'select * from payout_api.discrepancies';
end
$$;
comment on function payout_api.resolve_discrepancy(bigint, text) is
    'Resolves a discrepancy with a reason: done, or already; it releases no hold and moves no '
    'money.';
grant execute on function payout_api.resolve_discrepancy(bigint, text) to payout_operator;
-- frozen: procedures/operate/retry.sql 7e134f970fa8
create or replace function payout_api.retry(
    p_reason text,
    p_payout_transfer_id bigint default null,
    p_settlement_id text default null,
    p_payee_id text default null,
    p_currency text default null,
    p_because text default null,
    p_preview boolean default false,
    p_force boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := payout.selected_transfers(
        p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency, p_because);
    v_for_two bigint[] := array(
        select s.payout_transfer_id
        from payout.transfer_states as s
        where s.payout_transfer_id = any (v_ids)
            and s.state = 'parked'
            and (p_force or s.reason = 'absence_awaits_approval'));
begin
    return query
    select * from payout.act(
        'retry', array(select i from unnest(v_ids) as i where i <> all (v_for_two)), p_reason,
        p_preview);
    return query
    select * from payout.act(
        case when p_force then 'give_up' else 'approve_absence' end, v_for_two, p_reason,
        p_preview, p_takes_two => true);
end
$$;
comment on function payout_api.retry(
    text, bigint, text, text, text, text, boolean, boolean
) is
    'Lets the transfers that are named by any of the marks, joined by and, go on now: sent again, '
    'looked up, or with a new key where the evidence allows it. One row for each with its result; '
    'p_preview changes nothing; p_force proposes to give parked ones up.';
grant execute on function payout_api.retry(
    text, bigint, text, text, text, text, boolean, boolean
) to payout_operator;
-- frozen: procedures/operate/selected_transfers.sql 089a977fa7e8
create or replace function payout.selected_transfers(
    p_payout_transfer_id bigint,
    p_settlement_id text default null,
    p_payee_id text default null,
    p_currency text default null,
    p_because text default null
)
returns bigint[]
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
    v_unknown text;
    v_ids bigint[];
begin
    if num_nonnulls(p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency, p_because) = 0
    then
        raise exception 'it is not said of which transfers'
            using
                errcode = 'SP314',
                hint = 'Name them by p_payout_transfer_id, p_settlement_id, p_payee_id, p_currency '
                    'or p_because (a reason of payout_api.unpaid), or by several of these.';
    end if;
    v_unknown := case
        when p_payout_transfer_id is not null and not exists (
            select from payout.payout_transfers as t
            where t.payout_transfer_id = p_payout_transfer_id
        ) then format('transfer %s', p_payout_transfer_id)
        when p_settlement_id is not null and not exists (
            select from payout.settlements as s where s.settlement_id = p_settlement_id
        ) then format('settlement %s', p_settlement_id)
        when p_payee_id is not null and not exists (
            select from payout.payees as p where p.payee_id = p_payee_id
        ) then format('payee %s', p_payee_id)
        when p_currency is not null and not exists (
            select from payout.currencies as c where c.currency = p_currency
        ) then format('currency %s', p_currency)
    end;
    if v_unknown is not null then
        raise exception 'there is no %', v_unknown
            using
                errcode = 'SP310',
                hint = 'Look for the exact id; currencies are written in lower case.';
    end if;

    v_ids := array(
        select t.payout_transfer_id
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        where (p_payout_transfer_id is null or t.payout_transfer_id = p_payout_transfer_id)
            and (p_settlement_id is null or t.settlement_id = p_settlement_id)
            and (p_payee_id is null or t.payee_id = p_payee_id)
            and (p_currency is null or t.currency = p_currency)
            and (s.state not in ('paid', 'cancelled', 'settled_outside')
                or num_nonnulls(p_payout_transfer_id, p_settlement_id) > 0)
        order by t.payout_transfer_id);
    if p_because is null then
        return v_ids;
    end if;
    return array(
        select e.payout_transfer_id
        from payout_api.explained as e
        where e.payout_transfer_id = any (v_ids) and e.reason = p_because
        order by e.payout_transfer_id);
end
$$;
comment on function payout.selected_transfers(bigint, text, text, text, text) is
    'Numbers of the transfers, in order; those that are done only if named by number or '
    'settlement.';
-- frozen: procedures/operate/set_cap.sql ba99b998c34a
create or replace function payout_api.set_cap(
    p_scope text,
    p_currency text,
    p_reason text,
    p_amount_minor bigint default null,
    p_count integer default null
)
returns void
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
    if p_scope is null or p_scope not in ('transfer', 'payee', 'engine')
        or p_amount_minor < 0 or p_count < 0
        or (p_scope = 'transfer' and p_count is not null)
        or coalesce(btrim(p_reason), '') = ''
        or not exists (select from payout.currencies as c where c.currency = p_currency) then
        raise exception 'cannot set a cap of % in % for reason %', coalesce(p_scope, 'null'),
            coalesce(p_currency, 'null'), coalesce(quote_literal(p_reason), 'null')
            using
                errcode = 'SP313',
                hint = 'Scopes: transfer (an amount only), payee (a day), engine (an hour); no '
                    'amount or count: no such cap; give a reason.';
    end if;

    perform set_config('payout.reason', p_reason, true);
    insert into payout.caps (scope, currency, largest_amount_minor, largest_count)
    values (p_scope, p_currency, p_amount_minor, p_count)
    on conflict (scope, currency) do update
    set largest_amount_minor = excluded.largest_amount_minor,
        largest_count = excluded.largest_count
    where (caps.largest_amount_minor, caps.largest_count)
        is distinct from (excluded.largest_amount_minor, excluded.largest_count);
    perform set_config('payout.reason', '', true);

    update payout.holds as h
    set goes_on_at = payout.clock()
    where h.awaits = 'cap'
        and h.released_at is null
        and p_currency = case h.scope when 'currency' then h.subject else (
            select t.currency
            from payout.payout_transfers as t
            where t.payout_transfer_id = h.subject::bigint) end;
end
$$;
comment on function payout_api.set_cap(text, text, text, bigint, integer) is
    'Sets a cap: of a transfer, of a payee and day, or of the engine and hour, in minor units of a '
    'currency and in transfers; null takes it away. The next sweep ends the waits for caps of it.';
grant execute on function payout_api.set_cap(text, text, text, bigint, integer)
    to payout_operator;
-- frozen: procedures/operate/settle_outside.sql 934b73b3d071
create or replace function payout_api.settle_outside(
    p_payout_transfer_id bigint,
    p_reference text,
    p_reason text,
    p_preview boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := payout.selected_transfers(p_payout_transfer_id);
begin
    if coalesce(btrim(p_reference), '') = '' then
        raise exception 'transfer % is not settled outside without a reference',
            p_payout_transfer_id
            using
                errcode = 'SP314',
                hint = 'Name the payment: the bank''s reference, or Stripe''s tr_ id.';
    end if;
    return query
    select a.*
    from payout.payout_transfers as t
    cross join payout.engine_settings as e
    cross join lateral payout.act(
        'settle_outside', v_ids, p_reason, p_preview, jsonb_build_object('reference', p_reference),
        t.amount_minor > e.approval_limit_minor) as a
    where t.payout_transfer_id = p_payout_transfer_id;
end
$$;
comment on function payout_api.settle_outside(bigint, text, text, boolean) is
    'Closes a transfer that is scheduled or failed as paid in another way, with its reference; one '
    'row with the result. p_preview changes nothing.';
grant execute on function payout_api.settle_outside(bigint, text, text, boolean)
    to payout_operator;
-- frozen: procedures/operate/summary.sql 631d89d30bc8
create or replace function payout_api.summary(
    p_days integer default 30,
    p_rows integer default 20
)
returns table (section text, row_count bigint, content jsonb)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
set jit = off
as $$
    with days as materialized (
        select f.*
        from payout_api.money_flow(current_date - greatest(p_days, 1) + 1, 'infinity') as f
    ), totals as (
        select f.currency, sum(f.transfers_settled) as transfers_settled,
            sum(f.transfers_paid) as transfers_paid, sum(f.settled) as settled,
            sum(f.paid) as paid, sum(f.failed) as failed, sum(f.taken_back) as taken_back
        from days as f
        group by f.currency
    ), overview as (
        select o.*, st.meaning, st.is_final, sum(o.transfers) over state as state_transfers,
            sum(o.amount) over state as state_amount,
            min(o.oldest_since) over state as state_oldest_since
        from payout_api.overview_by_age as o
        join payout.states as st on st.state = o.state
        window state as (partition by o.currency, o.state)
    )
    select s.section, s.row_count, coalesce(s.content, '[]')
    from (
        select 'installation', count(*), jsonb_agg(to_jsonb(i) || jsonb_build_object(
            'first_day', current_date - greatest(p_days, 1) + 1, 'last_day', current_date))
        from payout_api.installation as i
        union all
        select 'overview', count(*), jsonb_agg(
            to_jsonb(o) order by o.currency, o.is_final, o.state, o.since_at_least)
        from overview as o
        union all
        select 'days', count(*), jsonb_agg(to_jsonb(d) order by d.currency, d.day) from days as d
        union all
        select 'totals', count(*), jsonb_agg(
            to_jsonb(t) order by t.transfers_settled + t.transfers_paid desc, t.currency)
        from totals as t
        union all
        select 'accounts', count(*), jsonb_agg(to_jsonb(b) order by b.currency, b.account)
        from payout_api.ledger_balances as b
        union all
        select 'books', count(*), jsonb_agg(to_jsonb(b) order by b.currency)
        from payout_api.trial_balance as b
        union all
        select * from payout.summary_lists(p_rows)
    ) as s (section, row_count, content)
    where s.row_count > 0
$$;
comment on function payout_api.summary(integer, integer) is
    'Sections with their rows, of one moment: the installation; transfers by state and age, what '
    'was settled and paid on each of the last p_days days (UTC), the reasons of unpaid transfers; '
    'balances; open discrepancies, reversed money, holds and workers. row_count is that of the '
    'whole list, content its first rows.';
grant execute on function payout_api.summary(integer, integer)
    to payout_operator, payout_auditor;
-- frozen: procedures/operate/summary_lists.sql 82227fafaf93
create or replace function payout.summary_lists(p_rows integer)
returns table (section text, row_count bigint, content jsonb)
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select 'unpaid', count(*), to_jsonb((array_agg(
        to_jsonb(u) order by u.state in ('scheduled', 'in_flight'), u.transfers desc,
            u.first_transfer_id))[:p_rows])
    from payout_api.unpaid_by_reason as u
    union all
    select 'payees', count(*), to_jsonb((array_agg(
        to_jsonb(p) order by p.rank, p.currency))[:p_rows])
    from payout_api.payees_owed as p
    union all
    -- Only those that are shown are explained.
    select 'discrepancies', (
        select count(*) from payout.discrepancies as o where o.resolved_at is null
    ), jsonb_agg(to_jsonb(d) - '{ours,theirs}'::text[] order by d.since, d.discrepancy_id)
    from payout_api.discrepancies as d
    where d.discrepancy_id = any (array(
        select o.discrepancy_id from payout.discrepancies as o where o.resolved_at is null
        order by o.found_at, o.discrepancy_id limit greatest(p_rows, 0)))
    union all
    select 'reversed', count(*), to_jsonb((array_agg(
        to_jsonb(m) || jsonb_build_object('open', m.open_minor * c.minor_unit)
        order by m.since, m.payout_transfer_id))[:p_rows])
    from payout_api.reversed_money as m
    left join payout.currencies as c on c.currency = m.currency
    union all
    select 'holds', count(*), to_jsonb((array_agg(
        to_jsonb(h) order by h.scope <> 'engine', h.hold_id))[:p_rows])
    from payout.holds as h
    where h.released_at is null
    union all
    select 'workers', count(*), to_jsonb((array_agg(
        to_jsonb(w) order by w.is_alive desc, w.last_seen_at desc, w.worker))[:p_rows])
    from payout_api.workers as w
$$;
comment on function payout.summary_lists(integer) is
    'Part of payout_api.summary(): each list with the number of all its rows.';
-- frozen: procedures/operate/time_from_now.sql 1e07fa09f0cd
create or replace function payout_api.time_from_now(p_at timestamptz)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
    select format(
        case
            when s.seconds is null or not isfinite(p_at) then '%1$s'
            when abs(s.seconds) < 1 then 'now'
            when p_at < now() then '%2$s ago'
            else 'in %2$s'
        end,
        p_at,
        case
            when abs(s.seconds) < 120 then floor(abs(s.seconds)) || ' s'
            when abs(s.seconds) < 7200 then floor(abs(s.seconds) / 60) || ' min'
            when abs(s.seconds) < 172800 then floor(abs(s.seconds) / 3600) || ' h'
            else floor(abs(s.seconds) / 86400) || ' d'
        end)
    from (select case when isfinite(p_at) then extract(epoch from p_at - now()) end) as s (seconds)
    where p_at is not null
$$;
comment on function payout_api.time_from_now(timestamptz) is
    'The time in seconds, minutes, hours or days from now: 3 h ago, in 5 min; null for none.';
grant execute on function payout_api.time_from_now(timestamptz)
    to payout_operator, payout_approver, payout_auditor;
-- frozen: procedures/operate/verify_books.sql 44dae5b45459
create or replace function payout_api.verify_books(
    p_from bigint default null, p_to bigint default null
)
returns table (check_name text, detail text, hint text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_from bigint := coalesce(p_from, -9223372036854775808);
    v_last bigint := coalesce(p_to, 9223372036854775807);
    v_to bigint;
    v_rows bigint;
    v_found bigint := 0::bigint;
begin
    loop
        v_to := payout.end_of_step(v_from, v_last);
        return query
        select * from payout.check_rules(v_from, v_to)
        union all
        select * from payout.check_entries(v_from, v_to)
        union all
        select * from payout.check_references(v_from, v_to)
        union all
        select * from payout.check_acts(v_from, v_to)
        union all
        select * from payout.check_secrets(v_from, v_to);
        get diagnostics v_rows = row_count;
        v_found := v_found + v_rows;
        exit when v_to >= v_last;
        raise notice 'transfers up to % are verified, of %; % found', v_to,
            least(v_last, (select max(t.payout_transfer_id) from payout.payout_transfers as t)),
            v_found;
        v_from := v_to + 1;
    end loop;
end
$$;
comment on function payout_api.verify_books(bigint, bigint) is
    'One row for each row with a number from p_from to p_to (null: from the first, to the last) '
    'that breaks a rule: requests, progress and entries that contradict their rows, rows without '
    'an origin, releases and resolutions without their act, secrets. None: all is well.';
grant execute on function payout_api.verify_books(bigint, bigint)
    to payout_operator, payout_auditor;
-- frozen: procedures/operate/verify_settlements.sql 6ef1348b7b79
create or replace function payout_api.verify_settlements(
    p_from text default null, p_to text default null
)
returns table (check_name text, detail text, hint text)
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
set jit = off
set enable_seqscan = off
as $$
declare
    v_from text := coalesce(p_from, '');
    v_to text;
    v_last text;
    v_rows bigint;
    v_found bigint := 0::bigint;
begin
    loop
        -- Text has no successor that could be computed: the next id is looked up.
        select min(n.settlement_id), coalesce(p_to, max(n.settlement_id)) into v_from, v_last
        from (
            select s.settlement_id from payout.settlements as s
            union all
            select l.settlement_id from payout.settlement_lines as l
            union all
            select j.settlement_id from payout.payout_jobs as j
            union all
            select t.settlement_id from payout.payout_transfers as t
        ) as n
        where n.settlement_id >= v_from and n.settlement_id is distinct from v_to;
        exit when (v_from <= v_last) is not true;
        if v_to is not null then
            raise notice 'settlements up to % are verified, of %; % found', v_to, v_last, v_found;
        end if;
        v_to := coalesce((
            select s.settlement_id
            from payout.settlements as s
            where s.settlement_id between v_from and v_last
            order by s.settlement_id
            offset 9999
            limit 1), v_last);
        return query select * from payout.check_settlements(v_from, v_to);
        get diagnostics v_rows = row_count;
        v_found := v_found + v_rows;
        v_from := v_to;
    end loop;
end
$$;
comment on function payout_api.verify_settlements(text, text) is
    'One row for each settlement from p_from to p_to, by id (null: from the first, to the last), '
    'that is not scheduled to the last line, or has a secret in its metadata, and for each line '
    'and job without a settlement. None: all is well.';
grant execute on function payout_api.verify_settlements(text, text)
    to payout_operator, payout_auditor;
-- frozen: procedures/operate/warn_of_former_accounts.sql d96f3e16b3fd
create or replace function payout.warn_of_former_accounts(p_hold payout.holds)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
    v_moved bigint;
begin
    v_moved := (
        select count(*)
        from payout.transfer_states as s
        join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
        join payout.transfer_requests as r
            on r.payout_transfer_id = s.payout_transfer_id and r.generation = s.generation
        where s.state in ('retry_wait', 'unknown', 'parked')
            and p_hold.subject = case p_hold.scope
                when 'payee' then t.payee_id
                when 'settlement' then t.settlement_id
                when 'transfer' then t.payout_transfer_id::text
            end
            and r.destination <> (
                select a.stripe_account_id
                from payout.payee_accounts as a
                where a.payee_id = t.payee_id
                order by a.payee_account_id desc
                limit 1));
    if v_moved > 0 then
        raise warning '% transfers under hold % go on to an account that is no longer the payee''s',
            v_moved, p_hold.hold_id
            using hint = 'Their key was used with it. park has them looked up first: only a new '
                'key takes the present account.';
    end if;
end
$$;
comment on function payout.warn_of_former_accounts(payout.holds) is
    'WARNING with their number, if the hold has a payee, settlement or transfer for its subject.';
-- frozen: procedures/operate/write_off.sql cce6fd024c12
create or replace function payout_api.write_off(
    p_payee_id text,
    p_currency text,
    p_amount_minor bigint,
    p_reason text,
    p_preview boolean default false
)
returns setof payout.act_result
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    v_ids bigint[] := array(
        select r.payout_transfer_id
        from payout_api.reversed_money as r
        where r.payee_id = p_payee_id and r.currency = p_currency);
    v_acts payout.act_result[] := array(
        select a
        from payout.close_reversed(
            'write_off', p_payee_id, p_currency, v_ids, p_amount_minor, p_reason, true) as a);
begin
    if p_preview is true then
        return query select * from unnest(v_acts);
        return;
    end if;
    v_ids := array(select a.payout_transfer_id from unnest(v_acts) as a);
    if p_amount_minor > (select e.approval_limit_minor from payout.engine_settings as e) then
        return query
        select * from payout.propose(
            'write_off', p_reason, v_ids, jsonb_build_object(
                'payee_id', p_payee_id, 'currency', p_currency, 'amount_minor', p_amount_minor),
            p_payee_id);
    else
        return query
        select * from payout.close_reversed(
            'write_off', p_payee_id, p_currency, v_ids, p_amount_minor, p_reason, false);
    end if;
end
$$;
comment on function payout_api.write_off(text, text, bigint, text, boolean) is
    'Writes off reversed money of a payee, in minor units, oldest transfer first '
    '(payout_api.reversed_money); one row for each transfer. p_preview changes nothing.';
grant execute on function payout_api.write_off(text, text, bigint, text, boolean)
    to payout_operator;
-- frozen: sql/error_codes.sql 21cf29a8f3d7
create or replace view payout_api.error_codes as
select c.sqlstate, c.meaning, c.reaction
from (values
    ('SP101', 'a fact may not be changed or removed', 'stop and alert'),
    ('SP102', 'a complete settlement may not be changed', 'stop and alert'),
    ('SP103', 'attempts and keys of a transfer only count up', 'stop and alert'),
    ('SP104', 'a hold, a discrepancy or a rule is closed once', 'stop and alert'),
    ('SP201', 'the transfer is in a state that has no such move', 'finish quietly'),
    ('SP202', 'the settlement is still pending', 'finish quietly'),
    ('SP301', 'a line names an unknown payee', 'correct the call'),
    ('SP303', 'the lines do not add up to the total', 'correct the call'),
    ('SP305', 'the currency is not supported', 'correct the call'),
    ('SP306', 'the amount is no multiple of the currency''s step', 'correct the call'),
    ('SP307', 'the settlement exists with other content', 'correct the call'),
    ('SP308', 'the metadata is more than Stripe takes', 'correct the call'),
    ('SP309', 'the lines are malformed', 'correct the call'),
    ('SP310', 'no such settlement, payee, transfer, hold, rule or other row', 'correct the call'),
    ('SP311', 'a claim, heartbeat, sweep or seal without all that it needs', 'correct the call'),
    ('SP312', 'the reported outcomes are malformed', 'correct the call'),
    ('SP313', 'a hold, cap, rule, resolution or currency without all it needs', 'correct the call'),
    ('SP314', 'an act or approval without all that it needs', 'correct the call'),
    ('SP315', 'a cursor or limit of outcomes that cannot be one', 'correct the call'),
    ('SP330', 'no such seal, or no head of seals', 'correct the call'),
    ('SP320', 'an adoption or another Stripe account without all it needs', 'correct the call'),
    ('SP340', 'a page of a read that is not there, or without its token', 'correct the call'),
    ('SP341', 'a page of Stripe''s that is malformed or not the next one', 'correct the call'),
    ('SP401', 'the server, its clock or the isolation of the transaction is unsafe', 'try later'),
    ('SP402', 'another transaction came first: repeat this one', 'try later'),
    ('SP403', 'the database is not the one that was adopted', 'try later'),
    ('SP404', 'the database pays from another Stripe account, or in the other mode', 'try later'),
    ('SP405', 'Stripe''s newest transfers were not compared with the books lately', 'try later'),
    ('SP406', 'the worker is more than one release away from the schema', 'try later'),
    ('SP410', 'this database is not adopted: nothing was reconciled in it lately', 'try later'),
    ('SP411', 'transfers are open that the old Stripe account may have executed', 'try later')
) as c (sqlstate, meaning, reaction);
comment on view payout_api.error_codes is
    'SP1xx: an invariant was touched, stop and alert. SP2xx: the row is in another state, finish '
    'quietly. SP3xx: a bad argument, the caller''s bug. SP4xx: not now, try later.';
grant select on payout_api.error_codes to
    payout_app, payout_worker, payout_operator, payout_approver, payout_auditor;
-- frozen: sql/views/discrepancies.sql 0b5867888d6e
create or replace view payout_api.discrepancies as
select
    d.discrepancy_id,
    d.kind,
    coalesce(t.settlement_id, d.theirs ->> 'settlement_id') as settlement_id,
    d.payout_transfer_id,
    d.stripe_transfer_id,
    a.currency,
    a.our_amount,
    a.their_amount,
    d.ours,
    d.theirs,
    d.found_at as since,
    d.found_by_read_id,
    concat_ws(' ',
        d.advice,
        'Then:',
        format('select payout_api.resolve_discrepancy(%s, ''…'');', d.discrepancy_id),
        'select payout_api.release_hold(' || h.hold_id || ', ''…'');'
    ) as what_to_do
from payout.discrepancies as d
left join payout.payout_transfers as t on t.payout_transfer_id = d.payout_transfer_id
left join payout.holds as h on h.scope = 'transfer'
    and h.subject = d.payout_transfer_id::text
    and h.discrepancy_id is not null
    and h.released_at is null
left join lateral (
    select string_agg(distinct c.currency, ', ') as currency,
        sum(s.amount_minor * c.minor_unit) filter (where s.is_ours) as our_amount,
        sum(s.amount_minor * c.minor_unit) filter (where not s.is_ours) as their_amount
    from (
        select x.is_ours, x.side ->> 'currency' as currency,
            case when jsonb_typeof(m.amount_minor) = 'number' then m.amount_minor::numeric end
        from (values (true, d.ours), (false, d.theirs)) as x (is_ours, side)
        left join lateral (
            select x.side -> 'amount_minor'
            where not x.side ? 'owed'
            union all
            select o.owed -> 'amount_minor'
            from jsonb_array_elements(
                case jsonb_typeof(x.side -> 'owed') when 'array' then x.side -> 'owed' end
            ) as o (owed)
        ) as m (amount_minor) on true
    ) as s (is_ours, currency, amount_minor)
    join payout.currencies as c on c.currency = s.currency
) as a on true
where d.resolved_at is null;
comment on view payout_api.discrepancies is
    'One row for each open discrepancy: both sides (ours and theirs) and their amounts in the '
    'currency itself, its time, the read that found it, and the next step with the calls that end '
    'it.';
-- frozen: sql/views/proposals.sql d8c0e66ec9cc
create or replace view payout_api.proposals as
select
    p.operator_action_id as action_id,
    p.details ->> 'verb' as verb,
    p.subject,
    p.reason,
    p.details - 'verb' as details,
    p.acted_by as proposed_by,
    p.acted_at as proposed_at,
    p.expires_at,
    format('select * from payout_api.approve(%s, ''…'');', p.operator_action_id) as what_to_do
from payout.operator_actions as p
where p.expires_at > now()
    and not exists (
        select from payout.operator_actions as a where a.proposal_id = p.operator_action_id
    );
comment on view payout_api.proposals is
    'One row for each proposal that nobody has approved and that has not expired, with the call '
    'by which another login approves it.';
grant select on payout_api.proposals to payout_approver;
-- frozen: sql/views/workers.sql 2af96f48e229
create or replace view payout_api.workers as
select
    w.worker,
    w.release,
    w.started_at,
    w.last_seen_at,
    not w.has_ended and w.last_seen_at > clock_timestamp() - interval '1 minute' as is_alive,
    exists (
        select from payout.holds as h
        where h.scope = 'worker' and h.subject = w.worker and h.released_at is null
    ) as is_on_hold
from payout.workers as w
order by w.last_seen_at desc;
comment on view payout_api.workers is
    'One row for each worker process of the last week: is_alive while its last heartbeat is less '
    'than a minute old and did not say that it ends, is_on_hold once Stripe refused its key.';
-- frozen: sql/views/gauges.sql 8e1038140017
create or replace view payout_api.gauges as
with open_states as materialized (
    -- The groups have no row in common and leave none out (payout.progress_problem).
    (select s.* from payout.transfer_states as s
        where s.next_attempt_at is not null and s.hold_id is null
            and s.state in ('scheduled', 'retry_wait', 'unknown')
        order by s.next_attempt_at limit 50000)
    union all
    (select s.* from payout.transfer_states as s
        where s.hold_id is not null and s.state in ('scheduled', 'retry_wait', 'unknown')
        limit 50000)
    union all
    (select s.* from payout.transfer_states as s where s.lease_until is not null limit 50000)
    union all
    (select s.* from payout.transfer_states as s
        where s.state in ('parked', 'failed') order by s.changed_at limit 50000)
    union all
    (select s.* from payout.account_waits as w
        join payout.transfer_states as s on s.payout_transfer_id = w.payout_transfer_id
        where w.next_look_at is not null and s.state = 'scheduled' and s.next_attempt_at is null
        limit 50000)
), grouped as materialized (
    select s.state, s.reason, t.currency, count(*) as transfers,
        sum(t.amount_minor) as amount_minor, min(s.changed_at) as since
    from open_states as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    group by s.state, s.reason, t.currency
), coded as (
    select x.metric, x.meaning, x.label, x.state,
        -- A sentence, an id or a name that a person gave is no label.
        case
            when x.code is null then 'none'
            when x.code ~ '^[a-z][a-z0-9_]{0,59}$' then x.code
            else 'other'
        end as code,
        x.number
    from (
        select 'payout_open_reasons' as metric,
            'Transfers that are open, by the reason for their state.' as meaning,
            'reason' as label, g.state::text as state, g.reason::text as code,
            g.transfers as number
        from grouped as g
        union all
        select 'payout_open_discrepancies' as metric, 'Open discrepancies, by kind.' as meaning,
            'kind' as label, null as state, d.kind as code, 1 as number
        from (
            select o.kind from payout.discrepancies as o
            where o.resolved_at is null
            order by o.found_at
            limit 50000
        ) as d
    ) as x
), placed as (
    select c.metric, c.meaning, c.label, c.state, c.code, sum(c.number) as number,
        row_number() over (
            partition by c.metric order by sum(c.number) desc, c.state, c.code) as place
    from coded as c
    group by c.metric, c.meaning, c.label, c.state, c.code
), due as (
    select count(*) as transfers, now() - min(s.next_attempt_at) as waited_for
    from open_states as s
    where s.next_attempt_at <= now() and s.hold_id is null and s.next_lookup_at is null
)
select v.metric, v.meaning, v.labels, v.value::double precision as value
from (
    values
        ('payout_due_transfers', 'Transfers that are due and on no hold.',
            '{}'::jsonb, (select d.transfers from due as d)::numeric),
        ('payout_due_oldest_seconds', 'Time for which the oldest of them has been due.',
            '{}', (select coalesce(extract(epoch from d.waited_for), 0) from due as d)),
        ('payout_failed_for_operators', 'Failed transfers for which nothing is tried by itself.',
            '{}', (
                select count(*) from open_states as s
                where s.state = 'failed' and s.next_attempt_at is null
            )),
        ('payout_expired_leases', 'Leases that ran out over a minute ago.',
            '{}', (
                select count(*) from open_states as s
                where s.lease_until < now() - interval '1 minute'
            )),
        ('payout_proposals', 'Acts that wait for another person.',
            '{}', (select count(*) from payout_api.proposals as p)),
        ('payout_notification_queue_usage', 'Part of the queue of NOTIFY that is full.',
            '{}', pg_notification_queue_usage()::numeric)
) as v (metric, meaning, labels, value)
-- Each column of a union is named: so a restored view has the same text.
union all
select 'payout_open_transfers' as metric, 'Transfers that are open.' as meaning,
    jsonb_build_object('state', g.state, 'currency', g.currency) as labels,
    sum(g.transfers)::double precision as value
from grouped as g
group by g.state, g.currency
union all
select 'payout_open_amount' as metric,
    'Money of open transfers, in the currency itself.' as meaning,
    jsonb_build_object('state', g.state, 'currency', g.currency) as labels,
    sum(g.amount_minor * c.minor_unit)::double precision as value
from grouped as g
left join payout.currencies as c on c.currency = g.currency
group by g.state, g.currency
union all
select 'payout_open_oldest_seconds' as metric,
    'Time since the oldest transfer came into the state.' as meaning,
    jsonb_build_object('state', g.state) as labels,
    extract(epoch from now() - min(g.since))::double precision as value
from grouped as g
group by g.state
union all
select p.metric, p.meaning, jsonb_strip_nulls(jsonb_build_object('state', p.state,
    p.label, case when p.place <= 30 then p.code else 'other' end)) as labels,
    sum(p.number)::double precision as value
from placed as p
group by p.metric, p.meaning, p.label, p.state,
    case when p.place <= 30 then p.code else 'other' end
union all
select 'payout_holds' as metric, 'Open holds that are no waits, by scope.' as meaning,
    jsonb_build_object('scope', s.scope) as labels,
    (
        select count(*) from (
            select from payout.holds as h
            where h.released_at is null and h.awaits is null and h.scope = s.scope
            limit 50000
        ) as h
    )::double precision as value
from unnest('{engine,worker,currency,payee,settlement,transfer}'::text[]) as s (scope)
union all
select 'payout_waits' as metric,
    'Currencies, payees and transfers that wait, by the cause.' as meaning,
    jsonb_build_object('for', s.awaits) as labels,
    (
        select count(*) from (
            select from payout.holds as h
            where h.released_at is null and h.awaits = s.awaits
            limit 50000
        ) as h
    )::double precision as value
from unnest('{funds,account,cap,account_change}'::text[]) as s (awaits)
union all
select 'payout_workers' as metric, 'Workers that are alive, by release.' as meaning,
    jsonb_build_object('release', left(w.release, 60)) as labels,
    count(*)::double precision as value
from payout_api.workers as w
where w.is_alive
group by left(w.release, 60);
comment on view payout_api.gauges is
    'Names, meanings, labels and values of gauges: open transfers and their money, by state, '
    'currency and reason, those that are due, holds and waits, open discrepancies, proposals, '
    'leases, workers.';
-- frozen: sql/views/reconcile_progress.sql cafffb149f73
create or replace view payout_api.reconcile_progress as
select
    r.read_id,
    case
        when r.finished_at is not null then 'finished'
        when r.abandoned_at is not null then 'given up'
        else 'going on'
    end as progress,
    r.worker,
    r.begun_at,
    coalesce(r.finished_at, r.abandoned_at) as ended_at,
    to_timestamp((r.queries #>> '{0,created,gte}')::double precision) as created_from,
    coalesce(p.pages, 0) as pages,
    p.last_page_at,
    r.objects_seen as transfers_seen,
    r.objects_expected as transfers_expected,
    r.objects_found as discrepancies_found,
    (select sum(n.value::bigint) from jsonb_each_text(r.not_ours) as n) as transfers_not_ours
from payout.stripe_reads as r
left join lateral (
    -- Pages are counted from one: the last says how many there are.
    select p.page_number::bigint as pages, p.received_at as last_page_at
    from payout.stripe_read_pages as p
    where p.read_id = r.read_id
    order by p.page_number desc
    limit 1
) as p on true
where r.kind = 'comparison'
order by r.read_id desc;
comment on view payout_api.reconcile_progress is
    'One row for each comparison: the time from which Stripe made the transfers (null: all), the '
    'pages and transfers seen so far, the number that these books expected, the number of its '
    'discrepancies, and that of the transfers that are not ours by a rule.';
-- frozen: sql/views/installation.sql ed74a9ac7921
create or replace view payout_api.installation as
select
    now() as taken_at,
    current_database() as database_name,
    session_user as login,
    payout_api.release() as release,
    e.installation_id,
    e.stripe_account_id,
    e.is_livemode,
    payout_api.seal_head() as seal_head,
    s.sealed_at,
    (select count(*) from payout_api.workers as w where w.is_alive) as workers_alive,
    c.begun_at as compared_at,
    c.transfers_seen as transfers_compared
from payout.engine_settings as e
left join lateral (
    select s.sealed_at from payout.seals as s order by s.seal_id desc limit 1
) as s on true
left join lateral (
    select r.begun_at, r.transfers_seen
    from payout_api.reconcile_progress as r
    where r.progress = 'finished'
    order by r.read_id desc
    limit 1
) as c on true;
comment on view payout_api.installation is
    'One row: the release, the Stripe account and mode, the newest seal, the workers that are '
    'alive, and the last comparison of all transfers that finished.';
-- frozen: sql/views/ledger_balances.sql 322fcbc08eb6
create or replace view payout_api.ledger_balances as
select
    b.account,
    b.currency,
    b.debit_minor * c.minor_unit as debit,
    b.credit_minor * c.minor_unit as credit,
    (b.credit_minor - b.debit_minor) * c.minor_unit as balance,
    b.debit_minor,
    b.credit_minor,
    b.credit_minor - b.debit_minor as balance_minor,
    b.debits,
    b.credits,
    l.meaning
from payout_api.account_totals_at(
    '{infinity}', array(select a.account from payout.ledger_accounts as a)) as b
left join payout.currencies as c on c.currency = b.currency
left join payout.ledger_accounts as l on l.account = b.account;
comment on view payout_api.ledger_balances is
    'Credit minus debit of each general account and currency, in the currency itself and in minor '
    'units, the number of debits and of credits, and the meaning of the account: payable is that '
    'of all payees. payout_api.balances_as_of(''infinity'', payee_id) has the balance of one '
    'payee.';
-- frozen: sql/views/not_ours.sql ef29fd0705d2
create or replace view payout_api.not_ours as
select
    r.not_ours_rule_id as rule_id,
    r.created_before,
    r.metadata_key,
    r.destination,
    r.is_everything,
    r.reason,
    r.recorded_by,
    r.recorded_at,
    r.ended_at,
    n.read_id as last_read_id,
    n.transfers as transfers_in_last_read,
    (
        select count(*) from payout.discrepancies as d
        where d.resolved_by_rule_id = r.not_ours_rule_id
    ) as discrepancies_resolved
from payout.not_ours_rules as r
left join lateral (
    select s.read_id, (s.not_ours ->> r.not_ours_rule_id::text)::bigint as transfers
    from payout.stripe_reads as s
    where s.kind = 'comparison'
        and s.finished_at is not null
        and s.not_ours ? r.not_ours_rule_id::text
    order by s.read_id desc
    limit 1
) as n on true;
comment on view payout_api.not_ours is
    'One row for each rule by which transfers at Stripe are not ours: its conditions and reason, '
    'the last comparison that met such transfers and their number, and the discrepancies that it '
    'resolved.';
-- frozen: sql/views/open_transfers.sql c9bac1b2785c
create or replace view payout_api.open_transfers as
select s.*
from payout.transfer_states as s
where s.next_attempt_at is not null and s.hold_id is null and s.lease_until is null
    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown')
union all
select s.*
from payout.transfer_states as s
where s.hold_id is not null and s.lease_until is null
    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown')
union all
select s.*
from payout.transfer_states as s
where s.lease_until is not null
    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown')
union all
select s.*
from payout.transfer_states as s
where s.state in ('parked', 'failed')
union all
select s.*
from payout.transfer_states as s
where s.next_attempt_at is null and s.hold_id is null and s.lease_until is null
    and s.state in ('scheduled', 'in_flight', 'retry_wait', 'unknown');
comment on view payout_api.open_transfers is
    'The rows of transfer_states that are not paid, cancelled or settled outside.';
grant select on payout_api.open_transfers to payout_approver;
-- frozen: sql/views/overview_by_age.sql f16aca8ce2bf
create or replace view payout_api.overview_by_age as
with open_ones as materialized (
    select s.state, t.currency, g.since_at_least, count(*) as transfers,
        sum(t.amount_minor) as amount_minor, min(s.changed_at) as oldest_since,
        min(s.next_attempt_at) as next_attempt_at
    from payout_api.open_transfers as s
    cross join lateral (
        -- Each by its number, and never all of them: hence the offset.
        select p.currency, p.amount_minor
        from payout.payout_transfers as p
        where p.payout_transfer_id = s.payout_transfer_id
        offset 0
    ) as t
    cross join lateral (
        select case
            when s.changed_at > now() - interval '1 hour' then interval '0'
            when s.changed_at > now() - interval '1 day' then interval '1 hour'
            when s.changed_at > now() - interval '7 days' then interval '1 day'
            else interval '7 days'
        end as since_at_least
    ) as g
    group by s.state, t.currency, g.since_at_least
), final_ones as (
    select f.state, f.currency, sum(f.transfers) as transfers, sum(f.amount_minor) as amount_minor
    from (
        select x.state, b.currency, x.sign * x.transfers, x.sign * x.amount_minor
        from payout_api.ledger_balances as b
        join lateral (values
            ('settlement_funds', 'cancelled', 1, b.debits, b.debit_minor),
            ('stripe_balance', 'cancelled', -1, b.credits, b.credit_minor),
            ('paid_outside', 'cancelled', -1, b.credits, b.credit_minor),
            ('stripe_balance', 'paid', 1, b.credits, b.credit_minor),
            ('paid_outside', 'settled_outside', 1, b.credits, b.credit_minor)
        ) as x (account, state, sign, transfers, amount_minor) on x.account = b.account
        union all
        -- Named, as a dump writes it.
        select 'cancelled' as state, o.currency, -o.transfers, -o.amount_minor
        from open_ones as o
    ) as f (state, currency, transfers, amount_minor)
    group by f.state, f.currency
    having sum(f.transfers) <> 0
)
select
    a.state,
    a.currency,
    a.since_at_least,
    a.transfers,
    a.amount_minor * c.minor_unit as amount,
    a.amount_minor,
    a.oldest_since,
    a.next_attempt_at
from (
    select * from open_ones
    union all
    select f.state::payout.transfer_state, f.currency, null::interval as since_at_least,
        f.transfers::bigint, f.amount_minor, null::timestamptz as oldest_since,
        null::timestamptz as next_attempt_at
    from final_ones as f
) as a
left join payout.currencies as c on c.currency = a.currency;
comment on view payout_api.overview_by_age is
    'Transfers by state, currency and age: since_at_least is 0, an hour, a day or seven days, the '
    'time for which each has been in its state, up to the next of these; null for final states.';
-- frozen: sql/views/overview.sql a4e006a95846
create or replace view payout_api.overview as
select
    o.state,
    o.currency,
    sum(o.transfers)::bigint as transfers,
    sum(o.amount) as amount,
    sum(o.amount_minor) as amount_minor,
    min(o.oldest_since) as oldest_since,
    min(o.next_attempt_at) as next_attempt_at
from payout_api.overview_by_age as o
group by o.state, o.currency;
comment on view payout_api.overview is
    'Transfers by state and currency; amount in the currency itself, amount_minor in minor units. '
    'oldest_since is null for final states.';
-- frozen: sql/views/payees_owed.sql 9f013d49e2b6
create or replace view payout_api.payees_owed as
select
    o.currency,
    o.payee_id,
    sum(o.amount_minor) * c.minor_unit as balance,
    row_number() over (
        partition by o.currency order by sum(o.amount_minor) desc, o.payee_id) as rank
from (
    select t.payee_id, t.currency, t.amount_minor
    from payout_api.open_transfers as s
    join payout.payout_transfers as t on t.payout_transfer_id = s.payout_transfer_id
    where s.state = 'failed'
    union all
    select m.payee_id, m.currency, m.open_minor
    from payout_api.reversed_money as m
) as o
left join payout.currencies as c on c.currency = o.currency
group by o.currency, o.payee_id, c.minor_unit
order by rank, o.currency;
comment on view payout_api.payees_owed is
    'One row for each payee and currency in which declined transfers or reversed money are owed: '
    'balance in the currency itself, rank among the payees of that currency.';
-- frozen: sql/views/payout_status.sql 465b3188319f
create or replace view payout_api.payout_status as
select
    t.settlement_id,
    t.payee_id,
    t.source_transaction,
    t.amount_minor,
    t.currency,
    case
        when s.state = 'scheduled' and s.next_attempt_at is null then 'waiting_for_account'
        when h.scope is null then st.status
        else st.status_on_hold
    end as status,
    case
        when s.state = 'scheduled' and s.next_attempt_at is null then s.reason
        when h.scope is not null then coalesce('waits_for_' || h.awaits, h.scope || '_on_hold')
        when st.status in ('failed', 'cancelled', 'settled_outside') then s.reason
    end as reason,
    s.stripe_transfer_id,
    m.pay_after,
    b.paid_at,
    coalesce(b.reversed_minor, 0) as reversed_minor,
    greatest(s.changed_at, h.placed_at, b.reversed_at) as changed_at
from payout.payout_transfers as t
join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
join payout.states as st on st.state = s.state
join payout.settlements as m on m.settlement_id = t.settlement_id
left join lateral (
    select
        min(e.created_at) filter (where e.kind = 'paid') as paid_at,
        (sum(e.amount_minor) filter (where e.kind = 'reversal'))::bigint as reversed_minor,
        max(e.created_at) filter (where e.kind = 'reversal') as reversed_at
    from payout.ledger_entries as e
    where e.payout_transfer_id = t.payout_transfer_id and e.kind in ('paid', 'reversal')
) as b on true
left join lateral (
    select h.scope, h.awaits, h.placed_at
    from payout.holds as h
    where h.released_at is null
        and st.status_on_hold <> st.status
        and (h.scope = 'engine'
            or (h.scope = 'currency' and h.subject = t.currency)
            or (h.scope = 'payee' and h.subject = t.payee_id)
            or (h.scope = 'settlement' and h.subject = t.settlement_id)
            or (h.scope = 'transfer' and h.subject = t.payout_transfer_id::text))
        and (h.awaits is null or (
            s.window_begins_at is null
            and (h.awaits <> 'funds' or t.source_transaction is null)
            and (h.awaits in ('cap', 'account_change') or s.hold_id is not null or not exists (
                select from payout.holds as p
                where p.probe_transfer_id = t.payout_transfer_id and p.released_at is null))))
    order by h.awaits is not null, h.hold_id
    limit 1
) as h on true;
comment on view payout_api.payout_status is
    'One row for each transfer of a complete settlement: status (scheduled, waiting_for_account, '
    'sending, paid, on_hold, failed, cancelled or settled_outside), the code of the reason where '
    'there is one, and the sum that Stripe took back, in minor units. Fast for one settlement or '
    'payee.';
grant select on payout_api.payout_status to payout_app;
-- frozen: sql/views/sealed_rows.sql 24c1673bf4ed
create or replace view payout_api.sealed_rows as
select 'adoptions' as table_name, a.adoption_id as row_id, a.recorded_at as row_at,
    to_jsonb(a) as content
from payout.adoptions as a
union all
select 'catalogues', c.catalogue_id, c.recorded_at, to_jsonb(c)
from payout.catalogues as c
union all
select 'discrepancies', d.discrepancy_id, d.found_at, to_jsonb(d) - '{resolved_at,resolved_by,
    resolution,resolved_by_read_id,resolved_by_rule_id}'::text[]
from payout.discrepancies as d
union all
select 'holds', h.hold_id, h.placed_at,
    to_jsonb(h) - '{released_at,released_by,release_reason,goes_on_at,probe_transfer_id,
    probes}'::text[]
from payout.holds as h
union all
select 'ledger_entries', e.ledger_entry_id, e.created_at, to_jsonb(e)
from payout.ledger_entries as e
union all
select 'not_ours_rules', r.not_ours_rule_id, r.recorded_at,
    to_jsonb(r) - '{ended_at,ended_by,end_reason}'::text[]
from payout.not_ours_rules as r
union all
select 'operator_actions', a.operator_action_id, a.acted_at, to_jsonb(a)
from payout.operator_actions as a
union all
select 'payee_accounts', a.payee_account_id, a.recorded_at, to_jsonb(a)
from payout.payee_accounts as a
union all
select 'payout_jobs', j.payout_job_id, j.created_at, to_jsonb(j) || jsonb_build_object(
    'settlement',
    (select to_jsonb(s) from payout.settlements as s where s.settlement_id = j.settlement_id),
    'lines', (
        select jsonb_agg(to_jsonb(l) order by l.line_id collate "C")
        from payout.settlement_lines as l
        where l.settlement_id = j.settlement_id
    ))
from payout.payout_jobs as j
union all
select 'payout_transfers', t.payout_transfer_id, t.created_at, to_jsonb(t)
from payout.payout_transfers as t
union all
select 'transfer_observations', o.observation_id, o.observed_at, to_jsonb(o)
from payout.transfer_observations as o
union all
select 'transfer_requests', r.transfer_request_id, r.frozen_at, to_jsonb(r)
from payout.transfer_requests as r;
comment on view payout_api.sealed_rows is
    'The rows that seals cover, with the content whose digest they keep: payout_api.verify_seals() '
    'compares.';
-- frozen: sql/views/trial_balance.sql 07b0e0753ce2
create or replace view payout_api.trial_balance as
select
    coalesce(b.currency, o.currency) as currency,
    coalesce(b.debit_minor, 0) as debit_minor,
    coalesce(b.credit_minor, 0) as credit_minor,
    coalesce(b.credit_minor - b.debit_minor, 0) as difference_minor,
    coalesce(b.in_flight_minor, 0) as in_flight_minor,
    coalesce(o.open_transfers_minor, 0) as open_transfers_minor
from (
    select l.currency, sum(l.debit_minor) as debit_minor, sum(l.credit_minor) as credit_minor,
        sum(l.credit_minor - l.debit_minor) filter (where l.account = 'in_flight')
            as in_flight_minor
    from payout_api.ledger_balances as l
    group by l.currency
) as b
full join (
    select a.currency, sum(a.amount_minor) as open_transfers_minor
    from payout_api.overview_by_age as a
    -- Final states have no age.
    where a.since_at_least is not null and a.state <> 'failed'
    group by a.currency
) as o on o.currency = b.currency;
comment on view payout_api.trial_balance is
    'Per currency: difference_minor is zero, and in_flight_minor equals open_transfers_minor, the '
    'sum of the transfers that are neither paid, failed nor cancelled. Anything else is a bug.';
-- frozen: sql/views/unpaid.sql db15ba212e85
create or replace view payout_api.unpaid as
select e.*
from payout_api.explained as e
where e.payout_transfer_id = any (array(
    select o.payout_transfer_id from payout_api.open_transfers as o));
comment on view payout_api.unpaid is
    'One row for each transfer that is not paid, as payout_api.explained has it: state, reason, '
    'since when, whose turn it is, when the engine acts next by itself, and the next step.';
-- frozen: sql/views/unpaid_by_reason.sql ed53e03c211f
create or replace view payout_api.unpaid_by_reason as
with groups as materialized (
    select s.state, s.reason, t.currency, s.hold_id is not null as is_on_hold,
        count(*) as transfers,
        sum(t.amount_minor) as amount_minor,
        min(s.changed_at) as oldest_since,
        min(s.payout_transfer_id) as first_transfer_id
    from payout_api.open_transfers as s
    cross join lateral (
        -- Each by its number, and never all of them: hence the offset.
        select p.currency, p.amount_minor
        from payout.payout_transfers as p
        where p.payout_transfer_id = s.payout_transfer_id
        offset 0
    ) as t
    group by s.state, s.reason, t.currency, s.hold_id is not null
)
select
    g.state,
    e.reason,
    g.currency,
    g.transfers,
    g.amount_minor * c.minor_unit as amount,
    g.amount_minor,
    g.oldest_since,
    g.first_transfer_id,
    e.situation,
    e.whose_turn,
    e.advice,
    e.next_call
from groups as g
left join payout.currencies as c on c.currency = g.currency
left join payout_api.explained as e on e.payout_transfer_id = g.first_transfer_id
    and e.payout_transfer_id = any (array(select x.first_transfer_id from groups as x));
comment on view payout_api.unpaid_by_reason is
    'One row for each state, reason and currency of transfers that are not paid, those that a '
    'sweep found on hold apart: their number and amount, the oldest time, and situation, turn, '
    'advice and call of the first of them, as payout_api.explained has it.';
-- generated: end

select payout.record_catalogue('0001-baseline');
reset role;
