-- reads: the reads of Stripe's lists, their pages, and what they showed.
--
--   payout_transfers ◀── stripe_reads ◀── stripe_read_pages
--                          lookup       all that Stripe can have of one transfer
--                          reversals    the reversals of one transfer
--                          events       events about reversed transfers
--                          comparison   all transfers, compared with the books
--                          newest       the newest of them, compared before claims
--   listed_transfers     transfers that Stripe had and the books did not call paid
--   reversed_transfers   transfers of ours that Stripe has reversed in full or in part

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
