-- settlements: the application's side, frozen once a settlement is complete.
--
--   payees ◀── payee_accounts (history: the newest counts)
--      ▲
--      │ payee_id
--   settlement_lines ──▶ settlements        a settlement comes before its lines
--                        pending ─▶ complete

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
