"""The doctor names each object that is not as the last migration left it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine, unguarded
from tests.mutants import mutant
from tests.operate.checks import complaints
from tests.schema.refusals import refusal

AS_DEPLOYED: Final = "everything is as it was deployed"
SAME_VERSION: Final = "the catalogue was recorded on this version of Postgres"
# A body that does something else under the same name.
REPLACE: Final = (
    "do $do$ begin execute regexp_replace(pg_get_functiondef('{}'::regprocedure), "
    "'AS [$]function[$].*', 'as {}'); end $do$"
)


def change_body(function: str, body: str) -> str:
    """Return the statement that gives a function another body."""
    return REPLACE.format(function, body.replace("'", "''").join(("$body$",) * 2))


@mutant(
    "a catalogue without conditions of triggers",
    "catalogue_rules",
    "pg_get_triggerdef(t.oid)",
    "null",
    at="a trigger with another condition",
)
@mutant(
    "a catalogue that takes a function for its name",
    "catalogue_functions",
    "sha256(convert_to(p.prosrc, 'UTF8')),\n            p.prosecdef",
    "p.prosecdef",
    at="payout.tg__refuse_change()",
)
@mutant(
    "a catalogue that overlooks triggers of foreign keys",
    "catalogue_rules",
    "select string_agg(t.tgenabled::text, '' order by t.tgenabled)",
    "select count(*)",
    at="a foreign key that is not enforced",
)
@mutant(
    "a catalogue that passes rights to write",
    "catalogue_rights",
    "when 'SELECT' then o.oid is not null",
    "when 'SELECT' then o.oid is not null when 'UPDATE' then false",
    at="update to payout_worker",
)
@mutant(
    "a catalogue without memberships of our roles",
    "catalogue_rights",
    "join ours as o on o.oid = m.member",
    "join ours as o on o.oid = m.member and false",
    at="a role that acts as the owner",
)
@mutant(
    "a catalogue without persistence",
    "catalogue_relations",
    "c.relkind, c.relpersistence, c.relowner",
    "c.relkind, c.relowner",
    at="an unlogged table",
)
@pytest.mark.parametrize(
    ("attack", "named"),
    [
        # Triggers.
        pytest.param(
            "create function public.reroute() returns trigger language plpgsql as "
            "$$ begin new.destination := 'acct_thief'; return new; end $$; "
            "create trigger _105_reroute before insert on payout.payout_transfers "
            "for each row execute function public.reroute()",
            "trigger _105_reroute on payout.payout_transfers (added)",
            id="a trigger that rewrites every destination",
        ),
        pytest.param(
            "drop trigger _500_refuse_change on payout.ledger_entries; "
            "create trigger _500_refuse_change before update or delete on payout.ledger_entries "
            "for each row when (false) execute function payout.tg__refuse_change(); "
            "alter table payout.ledger_entries enable always trigger _500_refuse_change",
            "trigger _500_refuse_change on payout.ledger_entries (changed)",
            id="a guard of the same name that never fires",
        ),
        pytest.param(
            "drop trigger _500_move on payout.transfer_states; "
            "create trigger _500_move before update on payout.transfer_states for each row "
            "when (old.state = 'parked' and new.state = 'paid') "
            "execute function payout.tg_transfer_states__move(); "
            "alter table payout.transfer_states enable always trigger _500_move",
            "trigger _500_move on payout.transfer_states (changed)",
            id="a trigger with another condition",
        ),
        *(
            pytest.param(
                f"alter table payout.ledger_entries {change} trigger _500_refuse_change",
                "trigger _500_refuse_change on payout.ledger_entries (changed)",
                id=f"a guard, {change}",
            )
            for change in ("disable", "enable", "enable replica")
        ),
        *(
            pytest.param(
                f"alter table payout.settlements {change} trigger _900_schedule_payout_job",
                "trigger _900_schedule_payout_job on payout.settlements (changed)",
                id=f"the settlement hook, {change}",
            )
            for change in ("disable", "enable always", "enable replica")
        ),
        pytest.param(
            "alter table payout.transfer_attempts disable trigger all; "
            "alter table payout.transfer_attempts enable always trigger _500_refuse_change; "
            "alter table payout.transfer_attempts enable always trigger _500_refuse_truncate",
            "constraint transfer_attempts_payout_transfer_id_fkey on payout.transfer_attempts "
            "(changed)",
            id="a foreign key that is not enforced",
        ),
        pytest.param(
            "create function public.watch() returns event_trigger language plpgsql as "
            "$$ begin end $$; create event trigger watch on ddl_command_end "
            "execute function public.watch()",
            "event trigger watch (added)",
            id="an event trigger",
        ),
        # Functions.
        *(
            pytest.param(change_body(function, body), f"function {function} (changed)", id=function)
            for function, body in (
                ("payout.tg__refuse_change()", "begin return coalesce(new, old); end"),
                ("payout.tg_settlements__schedule_payout_job()", "begin return null; end"),
                ("payout.tg_transfer_states__move()", "begin return new; end"),
                ("payout.progress_problem(payout.transfer_states)", "begin return null; end"),
                ("payout_api.verify_seals(bigint,bigint,text)", "begin return; end"),
            )
        ),
        *(
            pytest.param(
                f"alter function payout_api.sweep(integer) {change}",
                "function payout_api.sweep(integer) (changed)",
                id=f"sweep {change}",
            )
            for change in (
                "reset search_path",
                "set search_path = ''",
                "set search_path = pg_temp, pg_catalog",
                "set session_replication_role = replica",
                "security invoker",
                "stable",
                "strict",
                "owner to current_user",
            )
        ),
        pytest.param(
            "create function payout.clock(text) returns timestamptz language sql as "
            "$$ select '2000-01-01'::timestamptz $$",
            "function payout.clock(text) (added)",
            id="a function beside one of ours",
        ),
        pytest.param(
            "create function pg_catalog.sha256(text) returns bytea language sql as "
            "$$ select ''::bytea $$",
            "function sha256(text) (added)",
            id="a function in pg_catalog",
        ),
        pytest.param(
            "create function public.differs(text, bytea) returns boolean language sql as "
            "$$ select false $$; create operator pg_catalog.<> "
            "(leftarg = text, rightarg = bytea, function = public.differs)",
            "operator <>(text,bytea) (added)",
            id="an operator in pg_catalog",
        ),
        pytest.param(
            "create cast (text as bigint) with inout as implicit",
            "cast text to bigint (added)",
            id="a cast",
        ),
        # Tables.
        pytest.param(
            "create rule mine as on insert to payout.transfer_observations do instead nothing",
            "rule mine on payout.transfer_observations (added)",
            id="a rule",
        ),
        pytest.param(
            "alter table payout.ledger_entries enable row level security, force row level security",
            "table payout.ledger_entries (changed)",
            id="forced row security",
        ),
        pytest.param(
            "create policy mine on payout.payees using (false)",
            "policy mine on payout.payees (added)",
            id="a policy",
        ),
        pytest.param(
            "alter table payout.ledger_entries set unlogged",
            "table payout.ledger_entries (changed)",
            id="an unlogged table",
        ),
        pytest.param(
            "create table payout.more () inherits (payout.ledger_entries)",
            "child payout.more of payout.ledger_entries (added)",
            id="a child whose rows no guard sees",
        ),
        pytest.param(
            "create table public.more () inherits (payout.ledger_entries)",
            "child public.more of payout.ledger_entries (added)",
            id="a child elsewhere",
        ),
        pytest.param(
            "alter table payout.stripe_read_pages owner to current_user",
            "table payout.stripe_read_pages (changed)",
            id="the owner of a table",
        ),
        pytest.param(
            "alter view payout_api.overview owner to current_user",
            "view payout_api.overview (changed)",
            id="the owner of a view",
        ),
        pytest.param(
            "create or replace view payout_api.error_codes as "
            "select 'SP101' as sqlstate, 'nothing' as meaning, 'go on' as reaction",
            "view payout_api.error_codes (changed)",
            id="another view",
        ),
        pytest.param(
            "alter table payout.holds add column excuse text",
            "column payout.holds.excuse (added)",
            id="a column",
        ),
        pytest.param(
            "alter table payout.holds alter column placed_by set default 'engine'",
            "column payout.holds.placed_by (changed)",
            id="a default",
        ),
        pytest.param(
            "alter sequence payout.waiting_wakeup cycle",
            "sequence payout.waiting_wakeup (changed)",
            id="a sequence",
        ),
        # Constraints and indexes.
        *(
            pytest.param(
                f"alter table payout.{table} drop constraint {name} cascade",
                f"constraint {name} on payout.{table} (removed)",
                id=name,
            )
            for table, name in (
                ("engine_settings", "last_send_ends_before_stripe_forgets_the_key"),
                ("payout_jobs", "payout_jobs_settlement_id_key"),
                (
                    "ledger_entries",
                    "ledger_entries_payout_transfer_id_kind_generation_origin_key",
                ),
                ("seals", "seals_pkey"),
                ("payee_accounts", "payee_accounts_payee_id_fkey"),
            )
        ),
        pytest.param(
            "alter domain payout.transfer_state drop constraint state_is_known; "
            "alter domain payout.transfer_state add constraint state_is_known "
            "check (value <> '')",
            "constraint state_is_known on payout.transfer_state (changed)",
            id="the check of a domain",
        ),
        pytest.param(
            "drop index payout.holds_scope_subject_open_key",
            "index payout.holds_scope_subject_open_key (removed)",
            id="a unique index",
        ),
        pytest.param(
            "update pg_index set indisvalid = false "
            "where indexrelid = 'payout.holds_scope_subject_open_key'::regclass",
            "index payout.holds_scope_subject_open_key (changed)",
            id="an index that is not valid",
        ),
        # Reference rows.
        pytest.param(
            "update payout.stripe_error_rules set reaction = 'decline' "
            "where signal = 'no_response'",
            "row 20 of stripe_error_rules (changed)",
            id="an answer that means something else",
        ),
        pytest.param(
            "update payout.situations set next_call = 'select payout_api.retry(…)' "
            "where situation = 'paid'",
            "row paid of situations (changed)",
            id="a call that is advised",
        ),
        pytest.param(
            "insert into payout.state_edges values ('paid', 'scheduled', 'pay it again')",
            "row paid to scheduled of state_edges (added)",
            id="a move",
        ),
        pytest.param(
            "insert into payout.currencies values ('zzz', 0)",
            "row zzz of currencies (added)",
            id="a currency",
        ),
        pytest.param(
            "alter table payout.seal_marks disable trigger user; "
            "delete from payout.seal_marks where table_name = 'ledger_entries'",
            "row ledger_entries of seal_marks (removed)",
            id="a table that is sealed no more",
        ),
        # Rights and roles.
        *(
            pytest.param(
                f"grant {right} on {thing} to {role}",
                f"rights of {role} on {re.sub('^function ', '', thing)} ({verb})",
                id=f"{right} to {role}" if right != "execute" else f"execute {thing} to {role}",
            )
            for right, thing, role, verb in (
                ("update", "payout.transfer_states", "payout_worker", "added"),
                ("insert", "payout.ledger_entries", "public", "added"),
                ("select", "payout.holds", "payout_worker", "added"),
                ("truncate", "payout.settlement_lines", "payout_app", "changed"),
                ("trigger", "payout.payout_transfers", "payout_operator", "changed"),
                ("create", "schema payout", "payout_auditor", "changed"),
                ("create", "schema payout_api", "public", "added"),
                (
                    "execute",
                    "function payout.place_hold(text,text,text,bigint,timestamp with time zone)",
                    "payout_worker",
                    "added",
                ),
                ("execute", "function payout_api.sweep(integer)", "public", "added"),
                ("update", "payout.seen_wakeup", "payout_app", "added"),
            )
        ),
        pytest.param(
            "grant select on payout.settlements to payout_app with grant option",
            "rights of payout_app on payout.settlements (changed)",
            id="a right to pass on",
        ),
        pytest.param(
            "grant update (amount_minor) on payout.payout_transfers to payout_app",
            "rights of payout_app on payout.payout_transfers.amount_minor (added)",
            id="a right on one column",
        ),
        pytest.param(
            "revoke insert on payout.ledger_entries from payout_owner",
            "rights of payout_owner on payout.ledger_entries (changed)",
            id="a right that the owner has lost",
        ),
        pytest.param(
            "alter default privileges for role payout_owner grant execute on functions to public",
            "rights of payout_owner on new objects f of payout_owner (removed)",
            id="the rights on functions to come",
        ),
        pytest.param(
            "alter default privileges for role payout_owner in schema payout "
            "revoke select on tables from payout_auditor",
            "rights of payout_auditor on new objects r of payout_owner in payout (removed)",
            id="the rights on tables to come",
        ),
        pytest.param(
            "grant set on parameter session_replication_role to payout_app",
            "rights of payout_app on parameter session_replication_role (added)",
            id="the right to pass triggers",
        ),
        pytest.param(
            "grant alter system on parameter archive_command to payout_test_app",
            "rights of payout_test_app on parameter archive_command (added)",
            id="the right to have the server run a program",
        ),
        pytest.param(
            "grant payout_owner to payout_app",
            "membership of payout_app in payout_owner (added)",
            id="a role that acts as the owner",
        ),
        pytest.param(
            "grant pg_write_all_data to payout_worker",
            "membership of payout_worker in pg_write_all_data (added)",
            id="a role that may write everything",
        ),
        pytest.param("alter role payout_owner login", "role payout_owner (changed)", id="a login"),
        pytest.param(
            "alter role payout_worker superuser", "role payout_worker (changed)", id="a superuser"
        ),
    ],
)
def test_a_change_behind_the_migrations_is_noticed_and_its_object_named(
    engine: Engine, attack: str, named: str
) -> None:
    assert complaints(engine.db) == {}
    engine.db.execute(attack.encode())
    assert named in objects(engine.db)


def objects(db: Connection) -> list[str]:
    """Return the objects that the doctor names."""
    return re.split(r"(?<=\)), ", complaints(db).get(AS_DEPLOYED, ""))


@pytest.mark.proof
@pytest.mark.parametrize(
    "change", ["drop trigger {0} on {1}", "alter table {1} disable trigger {0}"]
)
def test_no_guard_can_be_taken_away_unnoticed(engine: Engine, change: str) -> None:
    guards = engine.db.execute(
        "select t.tgname::text, t.tgrelid::regclass::text from pg_trigger as t "
        "join pg_class as c on c.oid = t.tgrelid "
        "where c.relnamespace = 'payout'::regnamespace and not t.tgisinternal"
    ).fetchall()
    assert len(guards) > 40
    verb = "removed" if change.startswith("drop") else "changed"
    for guard, table in guards:
        with engine.db.transaction(force_rollback=True):
            engine.db.execute(change.format(guard, table).encode())
            assert objects(engine.db) == [f"trigger {guard} on {table} ({verb})"]


def test_guards_that_a_restore_has_downgraded_are_named(engine: Engine) -> None:
    """As `pg_restore --disable-triggers` does it."""
    engine.db.execute("alter table payout.ledger_entries disable trigger all")
    engine.db.execute("alter table payout.ledger_entries enable trigger all")
    assert objects(engine.db) == [
        f"trigger {guard} on payout.ledger_entries (changed)"
        for guard in ("_500_check_movement", "_500_refuse_change", "_500_refuse_truncate")
    ]


@pytest.mark.parametrize(
    "change",
    [
        "grant select on all tables in schema payout to pg_monitor",
        "grant usage on schema payout to pg_monitor",
        "alter table payout.ledger_entries set (autovacuum_vacuum_scale_factor = 0.01)",
        "create table public.mine (payee_id text references payout.payees)",
        "cluster payout.ledger_entries using ledger_entries_pkey",
    ],
)
def test_a_change_that_an_operator_may_make_is_no_complaint(engine: Engine, change: str) -> None:
    engine.db.execute(change.encode())
    assert complaints(engine.db) == {}


def test_a_change_that_is_meant_is_recorded_with_its_reason(engine: Engine) -> None:
    engine.db.execute("create index mine on payout.holds (placed_at)")
    assert objects(engine.db) == ["index payout.mine (added)"]
    engine.db.execute("set local role payout_owner")
    for _ in range(2):
        engine.db.execute("select payout.record_catalogue('a report needs it')")
    engine.db.execute("reset role")
    assert complaints(engine.db) == {}
    recorded = engine.db.execute(
        "select reason, recorded_by = session_user from payout.catalogues order by catalogue_id"
    ).fetchall()
    assert [reason for reason, _ in recorded] == ["built from the files", "a report needs it"]
    assert recorded[-1][1]


@mutant(
    "a catalogue of another version that is compared to the letter",
    "catalogue_differences",
    "coalesce((select n.is_same_major from newest as n), true)",
    "true",
)
def test_after_an_upgrade_of_the_server_texts_are_not_compared_until_they_are_recorded(
    engine: Engine,
) -> None:
    """A server of another major version writes views otherwise."""
    with unguarded(engine.db, "payout.catalogues"):
        engine.db.execute(
            "update payout.catalogues set server_major = 14, objects = jsonb_set(objects, "
            "'{view payout_api.unpaid,1}', '\"as 14 wrote it\"')"
        )
    assert complaints(engine.db) == {SAME_VERSION: "PostgreSQL 14"}
    with engine.db.transaction(force_rollback=True):
        engine.db.execute("alter table payout.ledger_entries set unlogged")
        assert objects(engine.db)[-1] == "table payout.ledger_entries (changed)"
    engine.db.execute("select payout.record_catalogue('upgraded')")
    assert complaints(engine.db) == {}


def test_a_change_of_a_setting_is_recorded_with_both_values_and_the_login(engine: Engine) -> None:
    engine.set(lease_for="45 seconds")
    engine.set(lease_for="50 seconds", max_tries=49)
    recorded = engine.db.execute(
        "select subject, details, acted_by = session_user from payout.operator_actions "
        "where action = 'change_setting' order by operator_action_id"
    ).fetchall()
    assert recorded == [
        ("lease_for", {"old": "00:00:30", "new": "00:00:45"}, True),
        ("lease_for", {"old": "00:00:45", "new": "00:00:50"}, True),
        ("max_tries", {"old": 50, "new": 49}, True),
    ]
    assert complaints(engine.db) == {}


@mutant(
    "a setting whose newest value is not compared",
    "catalogue_rows",
    "when e.value = (",
    "when e.value is not null or e.value = (",
    at="set approval_limit_minor = 100000-before",
)
@pytest.mark.parametrize("history", [[], ["set approval_limit_minor = 5"]], ids=["none", "before"])
@pytest.mark.parametrize(
    "change", ["set approval_limit_minor = 99999999", "set approval_limit_minor = 100000"]
)
def test_a_setting_that_was_changed_past_its_record_is_named(
    engine: Engine, history: list[str], change: str
) -> None:
    for recorded in history:
        engine.db.execute(f"update payout.engine_settings {recorded}".encode())
    assert complaints(engine.db) == {}
    with unguarded(engine.db, "payout.engine_settings"):
        engine.db.execute(f"update payout.engine_settings {change}".encode())
    if not history and change.endswith(" 100000"):
        assert complaints(engine.db) == {}
    else:
        assert objects(engine.db) == ["row approval_limit_minor of engine_settings (changed)"]


@mutant(
    "a catalogue that quotes as the session does",
    "catalogue",
    "set quote_all_identifiers = off\n",
    "",
    at="quote_all_identifiers = on",
)
@mutant(
    "a catalogue with intervals as the session writes them",
    "catalogue",
    "set intervalstyle = 'postgres'\n",
    "",
    at="intervalstyle = iso_8601",
)
@mutant(
    "a catalogue with digests as the session writes them",
    "catalogue",
    "set bytea_output = 'hex'\n",
    "",
    at="bytea_output = escape",
)
@pytest.mark.parametrize(
    "setting", ["quote_all_identifiers = on", "intervalstyle = iso_8601", "bytea_output = escape"]
)
def test_no_setting_of_a_session_makes_a_difference(engine: Engine, setting: str) -> None:
    engine.db.execute(f"set {setting}".encode())
    assert complaints(engine.db) == {}


@mutant(
    "a cap that is not compared with its newest act",
    "catalogue_rows",
    "where p.content is distinct from r.content",
    "where false",
    at="set largest_amount_minor = 99999999",
)
@pytest.mark.parametrize(
    "change",
    [
        "update payout.caps set largest_amount_minor = 99999999",
        "update payout.caps set largest_count = null",
        "delete from payout.caps",
    ],
    ids=lambda change: change.partition("payout.caps ")[2] or "delete",
)
def test_a_cap_that_was_changed_past_its_record_is_named(engine: Engine, change: str) -> None:
    for amount in (500, 600):
        engine.operator.execute(
            "select payout_api.set_cap('payee', 'usd', 'a start', %s, 10)", [amount]
        )
    assert complaints(engine.db) == {}
    with unguarded(engine.db, "payout.caps"):
        engine.db.execute(change.encode())
    assert objects(engine.db) == ["row payee usd of caps (added)"]


def test_a_cap_without_a_record_is_named(engine: Engine) -> None:
    with unguarded(engine.db, "payout.caps"):
        engine.db.execute("insert into payout.caps values ('engine', 'usd', null, 5)")
    assert objects(engine.db) == ["row engine usd of caps (added)"]


def test_without_a_catalogue_everything_is_named(engine: Engine) -> None:
    with unguarded(engine.db, "payout.catalogues"):
        engine.db.execute("delete from payout.catalogues")
    assert len(objects(engine.db)) > 1000


def test_operators_and_auditors_may_ask_for_the_differences_and_nobody_else(
    visit: Callable[..., Connection],
) -> None:
    query = "select * from payout_api.catalogue_differences()"
    for role in ("payout_operator", "payout_auditor"):
        assert visit(role).execute(query).fetchall() == []
    for role in ("payout_app", "payout_worker"):
        refused = refusal(visit(role), query)
        assert refused is not None
        assert refused.sqlstate == "42501"
