-- limits: how fast, and how much, the engine sends.
--
--   paces               how many sends and reads a second, as far as Stripe has shown
--   send_turns, read_turns   sequences: the time up to which turns are handed out
--   caps ◀·· cap_uses   the most that may be handed out, and the part of it that has been

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
