-- ledger: the double-entry books of all transfers.
--
--   settlement_funds ─▶ payable:<payee> ─▶ in_flight ─▶ stripe_balance
--        obligation          reserve           paid
--                            ◀─ release        ◀─ reversal (stripe_balance ─▶ payable:<payee>)
--                    ◀─ cancel, write_off
--                            settle_outside ─▶ paid_outside

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
