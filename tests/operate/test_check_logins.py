"""The doctor names logins that have more than one part, or that pass the rights of the engine."""

from __future__ import annotations

import re
from typing import Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.operate.checks import complaints, examine

ONE_PART: Final = "each login has one part"
PASSES: Final = "no login passes the rights"
QUEUE: Final = "the application does not write the queue"


def told(db: Connection, check_name: str) -> tuple[str, list[str]]:
    """Return the status of a check, and the logins that it names with their roles."""
    (check,) = (each for each in examine(db) if each.check_name == check_name)
    return check.status, re.split(r"(?<=\)), ", check.detail)


@mutant(
    "a login that only counts as a direct member",
    "check_logins",
    "and not r.rolsuper and case",
    "and exists (select from pg_auth_members as m where (m.member, m.roleid) = (r.oid, g.oid)) "
    "and case",
    at="through another role",
)
@pytest.mark.parametrize(
    "grants",
    [
        ["payout_operator, payout_worker to audit_test_login"],
        [
            "payout_worker to audit_test_team",
            "payout_operator, audit_test_team to audit_test_login",
        ],
    ],
    ids=["itself", "through another role"],
)
def test_a_login_that_is_both_operator_and_worker_is_a_warning(
    engine: Engine, grants: list[str]
) -> None:
    engine.db.execute("create role audit_test_login login; create role audit_test_team")
    for grant in grants:
        engine.db.execute(f"grant {grant}".encode())
    status, logins = told(engine.db, ONE_PART)
    assert status == "warning"
    assert "audit_test_login (payout_operator, payout_worker)" in logins
    assert not any(each.startswith("audit_test_team") for each in logins)


def test_a_login_with_one_part_is_named_and_no_warning(engine: Engine) -> None:
    engine.db.execute("create role audit_test_login login")
    engine.db.execute("grant payout_auditor, payout_operator to audit_test_login")
    status, logins = told(engine.db, ONE_PART)
    assert status == "ok"
    assert "audit_test_login (payout_auditor, payout_operator)" in logins


@pytest.mark.parametrize(
    ("way", "named"),
    [
        ("grant payout_owner to audit_test_login", "payout_owner"),
        ("grant pg_write_all_data to audit_test_login", "pg_write_all_data"),
        ("grant pg_execute_server_program to audit_test_login", "pg_execute_server_program"),
        ("alter role audit_test_login superuser", "superuser"),
    ],
)
def test_a_login_that_passes_the_rights_is_a_warning(engine: Engine, way: str, named: str) -> None:
    engine.db.execute("create role audit_test_login login")
    engine.db.execute(way.encode())
    status, logins = told(engine.db, PASSES)
    assert status == "warning"
    assert f"audit_test_login ({named})" in logins


def test_a_login_that_may_create_roles_is_named_where_it_may_grant_itself_ours(
    engine: Engine,
) -> None:
    """Before PostgreSQL 16 it may grant itself each role but a superuser's."""
    engine.db.execute("create role audit_test_login login createrole")
    is_named = "audit_test_login (createrole)" in told(engine.db, PASSES)[1]
    assert is_named == (engine.db.info.server_version < 160000)


def test_the_first_superuser_of_the_server_is_named_and_no_warning(engine: Engine) -> None:
    ((first,),) = engine.db.execute("select rolname from pg_roles where oid = 10").fetchall()
    assert f"{first} (superuser)" in told(engine.db, PASSES)[1]
    engine.db.execute(
        "do $$ declare v_login name; begin for v_login in select rolname from pg_roles "
        "where rolcanlogin and oid <> 10 loop execute format('alter role %I nologin', v_login); "
        "end loop; end $$"
    )
    assert told(engine.db, PASSES) == ("ok", [f"{first} (superuser)"])
    assert told(engine.db, ONE_PART) == ("ok", ["no login has any"])


@mutant(
    "an owner of the database that is the application as well is no warning",
    "check_logins",
    "l.owns_database and l.parts is null\n",
    "l.owns_database\n",
)
def test_the_owner_of_the_database_is_named_and_a_warning_only_with_a_part_of_the_engine(
    engine: Engine,
) -> None:
    """It installs where there is no superuser; an application that owns the database is another."""
    engine.db.execute(
        "do $$ declare v_login name; begin for v_login in select rolname from pg_roles "
        "where rolcanlogin and oid <> 10 loop execute format('alter role %I nologin', v_login); "
        "end loop; create role audit_test_login login; grant payout_owner to audit_test_login; "
        "execute format('alter database %I owner to audit_test_login', current_database()); end $$"
    )
    status, logins = told(engine.db, PASSES)
    assert (status, logins[0]) == ("ok", "audit_test_login (payout_owner)")
    engine.db.execute("grant payout_app to audit_test_login")
    assert told(engine.db, PASSES)[0] == "warning"


@pytest.mark.parametrize(
    ("grant", "named"),
    [
        (
            "insert on procrastinate.procrastinate_jobs to payout_app",
            "INSERT on procrastinate.procrastinate_jobs",
        ),
        (
            "delete on procrastinate.procrastinate_jobs to public",
            "DELETE on procrastinate.procrastinate_jobs",
        ),
    ],
)
def test_an_application_that_may_write_the_queue_is_named(
    engine: Engine, grant: str, named: str
) -> None:
    engine.db.execute(f"grant {grant}".encode())
    assert complaints(engine.db) == {QUEUE: named}
