-- lists: the reference tables, whose rows stand in sql/data/.
--
--   currencies          the minor units of each currency, as Stripe counts them
--   states ◀── state_edges          the states of a transfer, and the only moves between them
--   situations          where a transfer can stand: whose turn, the words, the call
--   ledger_accounts     the chart of accounts
--   stripe_error_rules  the reaction to each answer that is no success
--   discrepancy_kinds   the next step for each kind of discrepancy

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
