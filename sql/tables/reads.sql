-- reads: look-ups, comparisons and events: the pages of Stripe's lists that were read.
--
--   payout_transfers ◀── transfer_lookups ◀── transfer_lookup_pages    one transfer, looked up
--                        reconcile_runs   ◀── reconcile_pages          all transfers
--                                             event_pages              events about reversals
--   listed_transfers     transfers that Stripe had and the books did not call paid
--   reversed_transfers   transfers of ours that Stripe has reversed in full or in part

create table payout.transfer_lookups (
    lookup_id bigint not null generated always as identity,
    payout_transfer_id bigint not null,
    worker text not null,
    queries jsonb not null,
    begun_at timestamptz not null,
    constraint transfer_lookups_pkey primary key (lookup_id),
    constraint transfer_lookups_payout_transfer_id_fkey
        foreign key (payout_transfer_id) references payout.payout_transfers (payout_transfer_id)
);
comment on table payout.transfer_lookups is
    'Every look at Stripe''s list of transfers for one whose outcome is unknown. Insert-only; the '
    'result is an observation.';
comment on column payout.transfer_lookups.queries is
    'The parameters of GET /v1/transfers, one object a query; together they list all there can be.';
comment on column payout.transfer_lookups.begun_at is 'A time before the first request to Stripe.';

create index transfer_lookups_payout_transfer_id_idx
    on payout.transfer_lookups (payout_transfer_id);

create trigger _500_refuse_change before update or delete on payout.transfer_lookups
    for each row execute function payout.tg__refuse_change();
alter table payout.transfer_lookups enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.transfer_lookups
    for each statement execute function payout.tg__refuse_change();
alter table payout.transfer_lookups enable always trigger _500_refuse_truncate;

grant select on payout.transfer_lookups to payout_operator, payout_auditor;


create table payout.transfer_lookup_pages (
    lookup_id bigint not null,
    query_number integer not null,
    page_number integer not null,
    starting_after text,
    last_id text,
    has_more boolean not null,
    transfers_seen integer not null,
    matches jsonb not null,
    received_at timestamptz not null,
    constraint transfer_lookup_pages_pkey primary key (lookup_id, query_number, page_number),
    constraint transfer_lookup_pages_lookup_id_fkey
        foreign key (lookup_id) references payout.transfer_lookups (lookup_id),
    constraint counts_are_not_negative
        check (query_number >= 0 and page_number >= 1 and transfers_seen >= 0)
);
comment on table payout.transfer_lookup_pages is
    'The pages of Stripe''s list that a look-up read, and which of their transfers match. '
    'Insert-only.';
comment on column payout.transfer_lookup_pages.query_number is
    'The index of the query in transfer_lookups.queries, from 0.';
comment on column payout.transfer_lookup_pages.starting_after is
    'The id that the page was asked for after; null: the first page.';
comment on column payout.transfer_lookup_pages.last_id is
    'The last id on the page, after which the next one starts; null: an empty page.';
comment on column payout.transfer_lookup_pages.matches is
    'The transfers with our payout_ref in metadata or transfer_group, in the terms of '
    'payout.outcome.';

create trigger _500_refuse_change before update or delete on payout.transfer_lookup_pages
    for each row execute function payout.tg__refuse_change();
alter table payout.transfer_lookup_pages enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.transfer_lookup_pages
    for each statement execute function payout.tg__refuse_change();
alter table payout.transfer_lookup_pages enable always trigger _500_refuse_truncate;

grant select on payout.transfer_lookup_pages to payout_operator, payout_auditor;


create table payout.reconcile_runs (
    reconcile_run_id bigint not null generated always as identity,
    started_at timestamptz not null default now(),
    finished_at timestamptz,
    created_from timestamptz not null,
    created_until timestamptz not null,
    next_cursor text,
    transfers_seen bigint not null default 0,
    discrepancies_found bigint not null default 0,
    system_identifier bigint default (payout.database_identity()).system_identifier,
    timeline_id integer default (payout.database_identity()).timeline_id,
    database_oid oid default (payout.database_identity()).database_oid,
    table_oid oid default (payout.database_identity()).table_oid,
    worker text,
    transfers_expected bigint not null default 0,
    abandoned_at timestamptz,
    adoption_id bigint,
    constraint reconcile_runs_pkey primary key (reconcile_run_id),
    constraint window_is_in_order check (created_from < created_until),
    constraint counts_are_not_negative check (transfers_seen >= 0 and discrepancies_found >= 0),
    constraint run_is_finished_or_abandoned
        check (finished_at is null or abandoned_at is null),
    constraint expected_is_not_negative check (transfers_expected >= 0)
);
comment on table payout.reconcile_runs is
    'One comparison of Stripe''s list of transfers with these books, and how far it has come.';
comment on column payout.reconcile_runs.created_from is
    'The run compares transfers that Stripe created from this time on.';
comment on column payout.reconcile_runs.created_until is 'And before this time.';
comment on column payout.reconcile_runs.next_cursor is
    'Stripe transfer id after which the next page starts; null: from the newest.';
comment on column payout.reconcile_runs.system_identifier is
    'With the next three: the identity of the database that began it, as in payout.adoptions.';
comment on column payout.reconcile_runs.worker is
    'The worker that began it; others may have gone on with it.';
comment on column payout.reconcile_runs.transfers_expected is
    'Transfers that the books had as paid within the window, when the run began.';
comment on column payout.reconcile_runs.abandoned_at is
    'The time at which it was given up: it was made under another identity or Stripe account.';
comment on column payout.reconcile_runs.adoption_id is
    'The newest of payout.adoptions when the run was begun; null: there was none.';

create unique index reconcile_runs_one_goes_on_key on payout.reconcile_runs ((true))
    where finished_at is null and abandoned_at is null;

create trigger _500_refuse_delete before delete on payout.reconcile_runs
    for each row execute function payout.tg__refuse_change();
alter table payout.reconcile_runs enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.reconcile_runs
    for each statement execute function payout.tg__refuse_change();
alter table payout.reconcile_runs enable always trigger _500_refuse_truncate;

grant select on payout.reconcile_runs to payout_operator, payout_auditor;


create table payout.reconcile_pages (
    reconcile_run_id bigint not null,
    page_number integer not null,
    starting_after text,
    last_id text,
    has_more boolean not null,
    stripe_transfer_ids text[] not null,
    received_at timestamptz not null default now(),
    constraint reconcile_pages_pkey primary key (reconcile_run_id, page_number),
    constraint reconcile_pages_reconcile_run_id_starting_after_key
        unique nulls not distinct (reconcile_run_id, starting_after),
    constraint pages_count_from_one check (page_number >= 1),
    constraint only_an_empty_list_has_no_last_id check (
        last_id is not null or (page_number = 1 and stripe_transfer_ids = '{}' and not has_more))
);
comment on table payout.reconcile_pages is
    'A page of Stripe''s list that a run has taken, with the ids that it named; its contents are '
    'in discrepancies and listed_transfers.';
comment on column payout.reconcile_pages.starting_after is
    'The last id of the page before; null: the first page.';
comment on column payout.reconcile_pages.received_at is 'The time at which a worker reported it.';
comment on column payout.reconcile_pages.last_id is 'The id after which the next page starts.';

create trigger _500_refuse_change before update or delete on payout.reconcile_pages
    for each row execute function payout.tg__refuse_change();
alter table payout.reconcile_pages enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.reconcile_pages
    for each statement execute function payout.tg__refuse_change();
alter table payout.reconcile_pages enable always trigger _500_refuse_truncate;

grant select on payout.reconcile_pages to payout_operator, payout_auditor;


create table payout.listed_transfers (
    stripe_transfer_id text not null,
    payout_ref text not null,
    amount_minor bigint,
    amount_reversed_minor bigint not null,
    currency payout.currency_code,
    destination text,
    is_livemode boolean,
    named_payout_ref text,
    named_settlement text,
    created_at timestamptz not null,
    reconcile_run_id bigint,
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
comment on column payout.listed_transfers.amount_minor is
    'With the next columns: as Stripe listed it; null: not to be read.';
comment on column payout.listed_transfers.amount_reversed_minor is
    'The part of it that was reversed when it was seen first, in minor units.';
comment on column payout.listed_transfers.named_settlement is 'settlement_id in its metadata.';
comment on column payout.listed_transfers.created_at is
    'The time at which Stripe made it, by Stripe''s clock.';
comment on column payout.listed_transfers.reconcile_run_id is
    'The run that saw it first; null: an event did.';
comment on column payout.listed_transfers.seen_at is
    'The time at which that run saw it, by our clock.';

create index listed_transfers_payout_ref_idx on payout.listed_transfers (payout_ref);

create trigger _500_refuse_change before update or delete on payout.listed_transfers
    for each row execute function payout.tg__refuse_change();
alter table payout.listed_transfers enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.listed_transfers
    for each statement execute function payout.tg__refuse_change();
alter table payout.listed_transfers enable always trigger _500_refuse_truncate;

grant select on payout.listed_transfers to payout_operator, payout_auditor;


create table payout.reversed_transfers (
    stripe_transfer_id text not null,
    amount_reversed_minor bigint not null,
    next_lookup_at timestamptz,
    noted_at timestamptz not null default now(),
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
comment on column payout.reversed_transfers.noted_at is
    'The time at which a reversal of it was seen first.';

create index reversed_transfers_next_lookup_at_idx
    on payout.reversed_transfers (next_lookup_at) where next_lookup_at is not null;

create trigger _500_refuse_delete before delete on payout.reversed_transfers
    for each row execute function payout.tg__refuse_change();
alter table payout.reversed_transfers enable always trigger _500_refuse_delete;
create trigger _500_refuse_truncate before truncate on payout.reversed_transfers
    for each statement execute function payout.tg__refuse_change();
alter table payout.reversed_transfers enable always trigger _500_refuse_truncate;

grant select on payout.reversed_transfers to payout_operator, payout_auditor;


create table payout.event_pages (
    event_page_id bigint not null generated always as identity,
    query jsonb not null,
    created_until timestamptz not null,
    starting_after text,
    last_id text,
    has_more boolean not null,
    events_seen integer not null,
    received_at timestamptz not null default now(),
    constraint event_pages_pkey primary key (event_page_id),
    constraint event_pages_query_starting_after_key
        unique nulls not distinct (query, starting_after),
    constraint seen_is_not_negative check (events_seen >= 0),
    constraint only_an_empty_list_has_no_last_id check (
        last_id is not null or (events_seen = 0 and not has_more))
);
comment on table payout.event_pages is
    'A page of Stripe''s events about reversed transfers that was taken. A query that was read to '
    'its last page gives the beginning of the next one.';
comment on column payout.event_pages.query is 'The parameters of GET /v1/events that it answers.';
comment on column payout.event_pages.created_until is
    'The query names events from before this time, by Stripe''s clock.';
comment on column payout.event_pages.received_at is 'The time at which a worker reported it.';

create index event_pages_created_until_idx
    on payout.event_pages (created_until) where not has_more;

create trigger _500_refuse_change before update or delete on payout.event_pages
    for each row execute function payout.tg__refuse_change();
alter table payout.event_pages enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.event_pages
    for each statement execute function payout.tg__refuse_change();
alter table payout.event_pages enable always trigger _500_refuse_truncate;

grant select on payout.event_pages to payout_operator, payout_auditor;
