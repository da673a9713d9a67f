-- outcomes: each change that the application is told about its transfers, in one order.
--
--   transfer_states, reversals ─▶ outcomes ─▶ outcomes_since(cursor)
--
-- A writer announces the last id that was drawn before its own, in a lock of its transaction; a
-- reader goes no further than the lowest that is announced. So a row that commits late is not
-- passed by.

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
