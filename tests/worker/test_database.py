"""`call` reaches the payout functions and nothing else, and outlives transient errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import conninfo

from payout_engine import errors
from payout_engine.database import Database, connection_string, refuse_hopeless
from payout_engine.queue_schema import apply_queue_grants, apply_queue_schema
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres

Connection = psycopg.Connection[Any]
PROBES = """
create schema payout_api;
create sequence payout_api.calls;
create function payout_api.add(p_left integer, p_right integer) returns table (sum integer)
    language sql as 'select p_left + p_right';
create function payout_api.fail_until(p_call integer, p_sqlstate text)
    returns table (call bigint) language plpgsql as $$
declare
    v_call bigint := nextval('payout_api.calls');
begin
    if v_call < p_call then
        raise exception 'not yet' using errcode = p_sqlstate;
    end if;
    return query select v_call;
end $$;
create function payout_api.setting(p_name text) returns table (value text)
    language sql as 'select current_setting(p_name)';
create function payout_api.say(p_level text, p_text text) returns table (is_said boolean)
    language plpgsql as $$
begin
    if p_level = 'warning' then
        raise warning '%', p_text;
    end if;
    raise notice '%', p_text;
    return query select true;
end $$;
create function payout_api.pid() returns table (pid integer)
    language sql as 'select pg_backend_pid()';
"""


@pytest.fixture
def probes(empty_database: Callable[[], str]) -> str:
    """The URI of a database with functions to probe `call` with."""
    uri = empty_database()
    with psycopg.connect(uri) as connection:
        connection.execute(PROBES.encode())
    return uri


def call(uri: str, function: str, **arguments: Any) -> list[dict[str, Any]]:
    async def main() -> list[dict[str, Any]]:
        async with Database(uri) as database:
            return await database.call(function, **arguments)

    return asyncio.run(main())


def test_a_function_is_called_with_named_arguments(probes: str) -> None:
    assert call(probes, "add", p_right=2, p_left=1) == [{"sum": 3}]


def test_names_are_quoted_and_values_are_bound(probes: str) -> None:
    with pytest.raises(psycopg.errors.UndefinedFunction):
        call(probes, "add(1, 2); drop schema payout_api cascade; --")
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        call(probes, "add", p_left="1); drop schema payout_api cascade; --", p_right=2)


def test_the_session_is_durable_and_bounded_against_the_settings_of_the_database(
    probes: str,
) -> None:
    with psycopg.connect(probes, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f'alter database "{name}" set synchronous_commit = off'.encode())
    assert call(probes, "setting", p_name="synchronous_commit") == [{"value": "on"}]
    assert call(probes, "setting", p_name="statement_timeout") == [{"value": "15s"}]


def test_a_warning_of_the_database_is_logged_at_error_without_secrets(
    probes: str, caplog: pytest.LogCaptureFixture
) -> None:
    call(probes, "say", p_level="notice", p_text="by the way")
    assert caplog.records == []
    call(probes, "say", p_level="warning", p_text="payout alarm: sk_test_canary0123456789")
    [record] = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "payout alarm: ***")


def test_a_peer_that_vanishes_is_noticed_within_seconds() -> None:
    parameters = conninfo.conninfo_to_dict(connection_string("postgresql://u@h/d"))
    assert parameters.items() >= {
        ("connect_timeout", "5"),
        ("keepalives_idle", "5"),
        ("keepalives_interval", "2"),
        ("keepalives_count", "3"),
        ("tcp_user_timeout", "10000"),
    }


def test_settings_in_the_url_are_kept() -> None:
    given = "postgresql://u@h/d?connect_timeout=60&application_name=mine&options=-c%20jit%3Doff"
    parameters = conninfo.conninfo_to_dict(connection_string(given, search_path="procrastinate"))
    assert parameters["connect_timeout"] == "60"
    assert parameters["application_name"] == "mine"
    assert parameters["options"] == (
        "-c jit=off -c datestyle=ISO -c intervalstyle=postgres -c standard_conforming_strings=on "
        "-c quote_all_identifiers=off -c bytea_output=hex -c transform_null_equals=off "
        "-c client_min_messages=notice "
        "-c payout.is_direct=yes -c statement_timeout=15s -c search_path=procrastinate"
    )


def test_the_url_may_give_statements_more_time() -> None:
    given = "postgresql://u@h/d?options=-c%20statement_timeout%3D5min"
    parameters = conninfo.conninfo_to_dict(connection_string(given, synchronous_commit="on"))
    assert parameters["options"].startswith("-c statement_timeout=5min ")
    assert parameters["options"].endswith(" -c synchronous_commit=on")


def test_sessions_pin_the_settings_that_they_rely_on(
    probes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database, the login and the environment of libpq may say otherwise (FIELD B7)."""
    with psycopg.connect(probes) as connection:
        name = connection.info.dbname
        for setting in (
            "datestyle = 'German'",
            "standard_conforming_strings = off",
            "quote_all_identifiers = on",
            "client_min_messages = 'error'",
        ):
            connection.execute(f'alter database "{name}" set {setting}'.encode())
    monkeypatch.setenv("PGDATESTYLE", "German")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    with psycopg.connect(connection_string(probes)) as connection:
        told = [
            connection.execute(f"show {setting}".encode()).fetchone()
            for setting in (
                "datestyle",
                "standard_conforming_strings",
                "client_encoding",
                "quote_all_identifiers",
                "client_min_messages",
            )
        ]
    assert told == [("ISO, MDY",), ("on",), ("UTF8",), ("off",), ("notice",)]


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03", "57014", "SP401"])
def test_a_call_with_time_to_retry_is_repeated_after_a_transient_error(
    probes: str, sqlstate: str
) -> None:
    rows = call(probes, "fail_until", retry_seconds=30, p_call=3, p_sqlstate=sqlstate)
    assert rows == [{"call": 3}]


def test_a_call_is_read_committed_against_the_settings_of_the_database(probes: str) -> None:
    with psycopg.connect(probes) as connection:
        name = connection.info.dbname
        level = "default_transaction_isolation = 'repeatable read'"
        connection.execute(f'alter database "{name}" set {level}'.encode())
    assert call(probes, "setting", p_name="transaction_isolation") == [{"value": "read committed"}]


def test_a_call_without_time_to_retry_is_made_once(probes: str) -> None:
    with pytest.raises(psycopg.errors.SerializationFailure):
        call(probes, "fail_until", p_call=3, p_sqlstate="40001")
    assert call(probes, "fail_until", p_call=2, p_sqlstate="40001") == [{"call": 2}]


@pytest.mark.parametrize(
    ("sqlstate", "kind"),
    [
        ("SP101", errors.PayoutError),
        ("SP201", errors.PayoutError),
        ("SP312", errors.PayoutError),
        ("23505", psycopg.errors.UniqueViolation),
    ],
)
def test_other_errors_are_raised_at_once(probes: str, sqlstate: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="not yet"):
        call(probes, "fail_until", retry_seconds=60, p_call=9, p_sqlstate=sqlstate)


def test_a_connection_that_was_cut_is_replaced(probes: str) -> None:
    async def main() -> None:
        async with Database(probes) as database:
            before: dict[str, Any]
            after: dict[str, Any]
            [before] = await database.call("pid")
            with psycopg.connect(probes, autocommit=True) as other:
                other.execute("select pg_terminate_backend(%s)", [before["pid"]])
            [after] = await database.call("pid", retry_seconds=30)
            assert after != before

    asyncio.run(main())


def test_a_call_with_time_to_retry_outlives_a_restart_of_the_server() -> None:
    async def main(server: EmbeddedPostgres) -> None:
        async with Database(server.uri()) as database:
            before: list[dict[str, Any]] = await database.call("add", p_left=1, p_right=2)
            assert before == [{"sum": 3}]
            await asyncio.to_thread(server.kill_immediately)
            calling: asyncio.Task[list[dict[str, Any]]] = asyncio.create_task(
                database.call("add", retry_seconds=120, p_left=2, p_right=2)
            )
            await asyncio.sleep(1)
            assert not calling.done()
            await asyncio.to_thread(server.restart)
            began_at = time.monotonic()
            assert await calling == [{"sum": 4}]
            assert time.monotonic() - began_at < 10

    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri()) as connection:
            connection.execute(PROBES.encode())
        asyncio.run(main(server))


# The queue's schema.


@pytest.fixture
def bare(empty_database: Callable[[], str]) -> Iterator[Connection]:
    with psycopg.connect(empty_database(), autocommit=True) as connection:
        yield connection


def dsn_of(connection: Connection) -> str:
    return connection.info.dsn


def test_the_queue_is_installed_once_in_a_schema_of_its_own(bare: Connection) -> None:
    uri = dsn_of(bare)
    assert apply_queue_schema(uri) is True
    assert apply_queue_schema(uri) is False
    rows = bare.execute("select schemaname from pg_tables where tablename ~ '^procrastinate_'")
    assert {row[0] for row in rows} == {"procrastinate"}


def test_a_queue_of_another_version_is_refused(bare: Connection) -> None:
    uri = dsn_of(bare)
    apply_queue_schema(uri)
    bare.execute("drop function procrastinate.procrastinate_fetch_job_v2")
    with pytest.raises(errors.UserError, match="it lacks procrastinate_fetch_job_v2; apply"):
        apply_queue_schema(uri)


def test_only_the_worker_role_may_fetch_jobs(db: Connection, dsn: Callable[..., str]) -> None:
    apply_queue_grants(dsn())  # once more
    fetch = "procrastinate.procrastinate_fetch_job_v2(varchar[], bigint)"
    rows = db.execute(
        "select rolname from pg_roles where rolname in ('payout_worker', 'payout_app')"
        " and has_function_privilege(oid, %s, 'execute')",
        [fetch],
    )
    assert {row[0] for row in rows} == {"payout_worker"}


def test_a_login_that_only_a_user_of_the_system_may_have_is_refused_and_not_waited_for() -> None:
    """As Debian's server refuses its superuser over the socket, to every other user."""
    told = 'connection to server on socket "/run/.s.PGSQL.5432" failed: FATAL:  Peer '
    told += 'authentication failed for user "postgres"'
    with pytest.raises(errors.UserError, match="no connection: Peer authentication failed"):
        refuse_hopeless(psycopg.OperationalError(told))
