-- operations: acts of operators and of the engine, holds and discrepancies.
--
--   operator_actions   each act of an operator, with the reason
--   not_ours_rules     the transfers of other software on the Stripe account
--      ▲
--   discrepancies ──▶ payout_transfers   disagreements between Stripe and the books
--   holds ──▶ discrepancies              stops on sending, placed by people and by alarms

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
