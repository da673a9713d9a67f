-- seals: one hash chain over the tables that hold facts.
--
--   seal_marks (a table each)  the id up to which a table can be sealed next
--   seals ◀── seal_subtotals   a range of ids with its digests; of the ledger, sums per account

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
