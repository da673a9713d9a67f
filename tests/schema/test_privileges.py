"""Only the owner writes tables, save the columns of settlements that the application may write."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest

from tests.acting import Session
from tests.conftest import ROOT, Connection, Server
from tests.mutants import mutant
from tests.schema import rows
from tests.schema.refusals import Refusal, refusal

ROLES: Final = (
    "payout_owner",
    "payout_app",
    "payout_worker",
    "payout_operator",
    "payout_approver",
    "payout_auditor",
)
# Every right to write a table of the engine that a role other than its owner has.
WRITES: Final = {
    ("payout_app", privilege, table, None)
    for privilege in ("INSERT", "UPDATE", "DELETE")
    for table in ("settlements", "settlement_lines")
}
OURS: Final = "('payout'::regnamespace, 'payout_api'::regnamespace)"


def granted(db: Connection) -> set[tuple[str, str, str, str | None]]:
    """Return grantee, privilege, relation and column of every grant but the owner's own."""
    found = db.execute(
        f"""
        select coalesce(r.rolname::text, 'public'), a.privilege_type, g.relation, g.attribute
        from (
            select c.relname::text as relation, null as attribute, c.relowner, c.relacl as acl
            from pg_class as c
            where c.relnamespace in {OURS}
            union all
            select c.relname::text, att.attname::text, c.relowner, att.attacl
            from pg_class as c
            join pg_attribute as att on att.attrelid = c.oid
            where c.relnamespace in {OURS}
        ) as g
        cross join lateral aclexplode(g.acl) as a
        left join pg_roles as r on r.oid = a.grantee
        where a.grantee <> g.relowner
        """
    )
    return set(found)


def test_the_page_names_the_functions_that_each_role_may_call(db: Connection) -> None:
    page = (ROOT / "docs/iteration-05.md").read_text(encoding="utf-8")
    told = {
        role: set(re.findall("`([a-z_]+)`", may))
        for role, may in re.findall(r"^\| `(payout_[a-z]+)` \| (.*) \|$", page, re.MULTILINE)
    }
    told["payout_operator"] |= told["payout_auditor"]
    for role in ROLES[1:]:
        found = db.execute(
            """
            select p.proname::text, has_function_privilege(%s, p.oid, 'execute')
            from pg_proc as p
            where p.pronamespace = 'payout_api'::regnamespace
            """,
            [role],
        ).fetchall()
        told_functions = {name for name, _ in found if name in told[role]}
        assert told_functions == {name for name, may in found if may}, role


def test_the_group_roles_cannot_log_in_and_have_no_powers(db: Connection) -> None:
    found = db.execute(
        """
        select r.rolname::text
        from pg_roles as r
        where r.rolname = any (%s)
            and not (r.rolcanlogin or r.rolsuper or r.rolcreatedb or r.rolcreaterole
                or r.rolreplication or r.rolbypassrls)
            and r.rolconfig is null
        """,
        [list(ROLES)],
    )
    assert {name for (name,) in found} == set(ROLES)
    memberships = db.execute(
        "select count(*) from pg_auth_members "
        "where member in (select oid from pg_roles where rolname = any (%s))",
        [list(ROLES)],
    )
    assert memberships.fetchone() == (0,)


def test_only_the_owner_writes_tables_save_the_application_its_settlements(
    db: Connection,
) -> None:
    assert {grant for grant in granted(db) if grant[1] != "SELECT"} == WRITES


def test_public_and_the_worker_read_no_table(db: Connection) -> None:
    tables = {
        name
        for (name,) in db.execute(
            "select relname::text from pg_class where relnamespace = 'payout'::regnamespace"
        )
    }
    readers: dict[str, set[str]] = {}
    for grantee, privilege, relation, _ in granted(db):
        if privilege == "SELECT" and relation in tables:
            readers.setdefault(grantee, set()).add(relation)

    assert readers.keys() == {"payout_app", "payout_operator", "payout_auditor"}
    assert readers["payout_app"] == {"settlements", "settlement_lines", "currencies"}


@mutant(
    "tables that auditors do not read",
    sql="revoke select on payout.ledger_entries from payout_auditor",
)
def test_operators_and_auditors_read_every_table_and_view(
    db: Connection, connect: Callable[..., Connection]
) -> None:
    for role in ("payout_operator", "payout_auditor"):
        unread = db.execute(
            f"""
            select c.oid::regclass::text from pg_class as c
            where c.relnamespace in {OURS} and c.relkind in ('r', 'p', 'v')
                and not has_table_privilege(%s, c.oid, 'select')
            """,
            [role],
        )
        assert unread.fetchall() == [], role
    # One that is made later too.
    owner = connect("payout_owner")
    owner.execute("set role payout_owner")
    owner.execute("create table payout.later as select 1 as one")
    assert connect("payout_auditor").execute("table payout.later").fetchall() == [(1,)]


def test_every_object_of_the_engine_belongs_to_the_owner(db: Connection) -> None:
    found = db.execute(
        f"""
        select distinct o.kind, pg_get_userbyid(o.owner)::text
        from (
            select 'schema' as kind, nspowner as owner from pg_namespace where oid in {OURS}
            union all select 'relation', relowner from pg_class where relnamespace in {OURS}
            union all select 'function', proowner from pg_proc where pronamespace in {OURS}
            union all select 'type', typowner from pg_type where typnamespace in {OURS}
        ) as o
        """
    )
    assert set(found) == {
        (kind, "payout_owner") for kind in ("schema", "relation", "function", "type")
    }


def test_only_the_owner_creates_in_our_schemas(db: Connection) -> None:
    found = db.execute(
        f"""
        select n.nspname::text, coalesce(r.rolname::text, 'public'), a.privilege_type
        from pg_namespace as n
        cross join lateral aclexplode(n.nspacl) as a
        left join pg_roles as r on r.oid = a.grantee
        where n.oid in {OURS} and a.grantee <> n.nspowner
        """
    )
    assert set(found) == {
        *(("payout_api", role, "USAGE") for role in ROLES if role != "payout_owner"),
        *(("payout", f"payout_{name}", "USAGE") for name in ("app", "operator", "auditor")),
    }


def test_public_may_execute_no_function_of_ours(
    db: Connection, connect: Callable[..., Connection]
) -> None:
    found = db.execute(
        f"""
        select p.oid::regprocedure::text
        from pg_proc as p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        where p.pronamespace in {OURS} and a.grantee = 0 and a.privilege_type = 'EXECUTE'
        """
    )
    assert found.fetchall() == []
    # Nor one that is made later.
    owner = connect("payout_owner")
    owner.execute("set role payout_owner")
    owner.execute("create function payout_api.later() returns int return 1")
    assert refusal(connect("payout_auditor"), "select payout_api.later()") == Refusal(
        "42501", "permission denied for function later"
    )


CALLERS: Final = {
    "claim_transfers": {"payout_worker"},
    "report_outcomes": {"payout_worker"},
    "sweep": {"payout_worker", "payout_operator"},
    "hold": {"payout_operator"},
    "retry": {"payout_operator"},
    "cancel": {"payout_operator"},
    "park": {"payout_operator"},
    "settle_outside": {"payout_operator"},
    "write_off": {"payout_operator"},
    "repay": {"payout_operator"},
    "change_setting": {"payout_operator"},
    "approve": {"payout_approver"},
    "release_hold": {"payout_operator"},
    "adopt_database": {"payout_operator"},
    "change_stripe_account": {"payout_operator"},
    "outcomes_since": {"payout_app"},
}


@mutant(
    "execute granted to public",
    sql=("grant execute on function payout_api.report_outcomes(jsonb) to public"),
)
@mutant(
    "execute granted to payout_app",
    sql=("grant execute on function payout_api.report_outcomes(jsonb) to payout_app"),
)
@mutant(
    "an adoption by a worker",
    sql=("grant execute on function payout_api.adopt_database(text, boolean) to payout_worker"),
)
@mutant(
    "a private function left to public",
    sql=("grant execute on function payout.reopen_failed(timestamptz, integer) to public"),
)
def test_only_these_roles_may_call_these_functions(db: Connection) -> None:
    found = db.execute(
        f"""
        select p.proname::text, coalesce(r.rolname::text, 'public')
        from pg_proc as p
        cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) as a
        left join pg_roles as r on r.oid = a.grantee
        where p.pronamespace in {OURS} and a.grantee <> p.proowner
            and (p.proname = any (%s) or a.grantee = 0)
        """,
        [list(CALLERS)],
    )
    expected = {(function, role) for function, roles in CALLERS.items() for role in roles}
    assert set(found) == expected


def test_public_may_create_no_temporary_objects(db: Connection, server: Server) -> None:
    # A clone does not take over the privileges of the database it is cloned from.
    found = db.execute(
        "select has_database_privilege('public', %s, 'TEMPORARY')", [server.template_dbname]
    )
    assert found.fetchone() == (False,)


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_operator"])
def test_no_other_role_becomes_the_owner(act: Callable[[str | None], Session], role: str) -> None:
    assert refusal(act(role), "set role payout_owner") == Refusal(
        "42501", 'permission denied to set role "payout_owner"'
    )


def test_the_application_writes_settlements_and_lines_only(
    db: Connection, act: Callable[[str | None], Session]
) -> None:
    rows.add_settlement(db, state="pending")
    app = act("payout_app")
    denied = "permission denied for table"

    for statement, table in (
        ("truncate payout.settlements", "settlements"),
        ("truncate payout.settlement_lines", "settlement_lines"),
        ("insert into payout.payees (payee_id) values ('seller_9')", "payees"),
        (
            "insert into payout.payout_jobs (payout_job_id, settlement_id) "
            "overriding system value values (99, 'set_1')",
            "payout_jobs",
        ),
        ("select from payout.payout_transfers", "payout_transfers"),
    ):
        assert refusal(app, statement) == Refusal("42501", f"{denied} {table}")
    assert refusal(app, "drop table payout.settlements") == Refusal(
        "42501", "must be owner of table settlements"
    )
    assert refusal(app, "alter table payout.settlements disable trigger all") == Refusal(
        "42501", "must be owner of table settlements"
    )
    assert refusal(app, "create table payout.mine ()") == Refusal(
        "42501", "permission denied for schema payout"
    )


def test_the_worker_sees_no_table_at_all(act: Callable[[str | None], Session]) -> None:
    worker = act("payout_worker")

    for table in ("settlements", "payout_transfers", "transfer_states", "ledger_entries"):
        for statement in (f"select from payout.{table}", f"delete from payout.{table}"):
            assert refusal(worker, statement) == Refusal(
                "42501", "permission denied for schema payout"
            )


def test_the_auditor_and_the_operator_read_every_table(
    db: Connection, act: Callable[[str | None], Session]
) -> None:
    tables = db.execute(
        "select oid::regclass::text from pg_class "
        "where relnamespace = 'payout'::regnamespace and relkind = 'r'"
    ).fetchall()

    for role in ("payout_auditor", "payout_operator"):
        reader = act(role)
        for (table,) in tables:
            assert refusal(reader, f"select from {table}") is None


def test_the_application_reads_two_views_and_the_worker_one(
    db: Connection,
) -> None:
    # A view reads with its owner's rights, so that it could hand out a private table.
    found = db.execute(
        """
        select c.relname::text, coalesce(r.rolname::text, 'public')
        from pg_class as c
        cross join lateral aclexplode(c.relacl) as a
        left join pg_roles as r on r.oid = a.grantee
        where c.relnamespace = 'payout_api'::regnamespace and c.relkind = 'v'
            and a.grantee in (0, 'payout_app'::regrole, 'payout_worker'::regrole)
        """
    )
    assert set(found) == {
        ("error_codes", "payout_app"),
        ("error_codes", "payout_worker"),
        ("payout_status", "payout_app"),
    }
