-- workers: the processes that call Stripe, as they report themselves.

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
