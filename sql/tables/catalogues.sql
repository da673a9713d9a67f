-- catalogues: the objects that give the books their meaning, as each migration left them.

create table payout.catalogues (
    catalogue_id bigint not null generated always as identity,
    objects jsonb not null,
    server_major integer not null default current_setting('server_version_num')::integer / 10000,
    reason text not null,
    recorded_by text not null default session_user,
    recorded_at timestamptz not null default now(),
    constraint catalogues_pkey primary key (catalogue_id),
    constraint objects_is_an_object check (jsonb_typeof(objects) = 'object'),
    constraint reason_is_given check (length(btrim(reason)) > 0)
);
comment on table payout.catalogues is
    'Functions, triggers, constraints, rights, reference rows and all other objects of the engine, '
    'written at the end of each migration; the doctor compares the newest row with the database.';
comment on column payout.catalogues.objects is
    'For each object its definition, and its text as the server writes it.';
comment on column payout.catalogues.server_major is
    'The major version of the server that wrote these texts; another one may write them otherwise.';

create trigger _500_refuse_change before update or delete on payout.catalogues
    for each row execute function payout.tg__refuse_change();
alter table payout.catalogues enable always trigger _500_refuse_change;
create trigger _500_refuse_truncate before truncate on payout.catalogues
    for each statement execute function payout.tg__refuse_change();
alter table payout.catalogues enable always trigger _500_refuse_truncate;
