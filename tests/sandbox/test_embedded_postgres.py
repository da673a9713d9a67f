"""The embedded server starts from nothing, survives stops and kills and leaves nothing behind.

Every test that looks at the system after the fact asks about its own server only.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from payout_engine_sandbox import embedded_postgres
from payout_engine_sandbox.embedded_postgres import (
    DEFAULT_SETTINGS,
    EmbeddedPostgres,
    EmbeddedPostgresError,
)

pytestmark = pytest.mark.proof

CHECKOUT = Path(__file__).resolve().parents[2]
HOLD_A_SERVER = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored below a background job
import subprocess
import sys
from payout_engine_sandbox.embedded_postgres import EmbeddedPostgres
EmbeddedPostgres._initialise_data_directory = lambda server: subprocess.run(
    ["cp", "-a", sys.argv[1], str(server.data_directory)], check=True
)
server = EmbeddedPostgres.start()
print(server.pid, server.data_directory.parent, flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module", autouse=True)
def first_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Copy the first usual data directory instead of making it again, the most of every start.

    Only here: the identity check of the engine would take such servers for one.
    """
    initialise = EmbeddedPostgres._initialise_data_directory
    first = tmp_path_factory.mktemp("initdb") / "data"

    def copy_or_initialise(server: EmbeddedPostgres) -> None:
        is_usual = server._settings == DEFAULT_SETTINGS and server._major == 18
        if not is_usual or server._primary:
            initialise(server)
        elif first.exists():
            subprocess.run(["cp", "-a", str(first), str(server.data_directory)], check=True)
        else:
            initialise(server)
            subprocess.run(["cp", "-a", str(server.data_directory), str(first)], check=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EmbeddedPostgres, "_initialise_data_directory", copy_or_initialise)
        yield first


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with EmbeddedPostgres.start() as server:
        yield server


@pytest.fixture(scope="module")
def shaken() -> Iterator[EmbeddedPostgres]:
    """A server that tests stop, kill and freeze, and leave running."""
    with EmbeddedPostgres.start() as server:
        yield server


def ask(server: EmbeddedPostgres, query: str) -> object:
    with psycopg.connect(server.uri()) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def wait_until(condition: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def process_state(pid: int) -> str | None:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return None


def is_running(pid: int) -> bool:
    return process_state(pid) not in (None, "Z")


def test_the_server_runs_postgres_18_and_answers_on_loopback(server: EmbeddedPostgres) -> None:
    assert str(ask(server, "show server_version")).startswith("18.")
    assert ask(server, "select host(inet_server_addr())") == "127.0.0.1"
    assert ask(server, "show listen_addresses") == "127.0.0.1"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("autovacuum", "on"),
        ("max_connections", "200"),
        ("shared_buffers", "128MB"),
        ("server_encoding", "UTF8"),
        ("unix_socket_directories", ""),
    ],
)
def test_the_settings_are_those_the_engine_demands(
    server: EmbeddedPostgres, setting: str, value: str
) -> None:
    assert ask(server, f"show {setting}") == value


def test_text_sorts_by_code_point(server: EmbeddedPostgres) -> None:
    assert ask(server, "select 'Z' < 'a'") is True
    assert ask(server, "select upper('\u00e4')") == "\u00c4"


def test_the_environment_leads_the_wheels_psql_to_the_server(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGOPTIONS", "--no-such-option=1")
    result = subprocess.run(
        [server.bin("psql"), "-XAtc", "select current_user"],
        env=server.env,
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout == "postgres\n"


def test_the_uri_names_database_and_user(server: EmbeddedPostgres) -> None:
    assert server.uri("my db") == f"postgresql://postgres@127.0.0.1:{server.port}/my%20db"
    assert server.uri("a", user="app/1") == f"postgresql://app%2F1@127.0.0.1:{server.port}/a"


def test_an_unknown_program_is_refused(server: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedPostgresError, match="the wheel has no program mysql"):
        server.bin("mysql")


def test_an_unknown_version_is_refused() -> None:
    with pytest.raises(EmbeddedPostgresError, match="the wheel has no PostgreSQL 9"):
        EmbeddedPostgres.start(major=9)


def test_a_refused_setting_shows_the_log_and_leaves_nothing_behind() -> None:
    with pytest.raises(EmbeddedPostgresError, match="no_such_setting"):
        EmbeddedPostgres.start(settings={"no_such_setting": "1"})


def test_a_port_that_is_taken_first_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    free_port = embedded_postgres._free_port
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        ports = iter([taken.getsockname()[1], free_port()])
        monkeypatch.setattr(embedded_postgres, "_free_port", lambda: next(ports))
        with EmbeddedPostgres.start() as server:
            assert server.port != taken.getsockname()[1]
            assert "Address already in use" in server.log()


def test_the_data_is_on_disk_without_shared_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    may_access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: str(path) != "/dev/shm" and may_access(path, mode)
    )
    # Closed to others: of no use to root, which runs the server as another user.
    tmp_path.chmod(0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with EmbeddedPostgres.start() as server:
        assert Path("/dev/shm") not in server.data_directory.parents
        assert (tmp_path in server.data_directory.parents) is (os.geteuid() != 0)
        assert ask(server, "show fsync") == "on"


def test_the_start_is_refused_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded_postgres, "ROOM_IN_BYTES", 1 << 60)
    with pytest.raises(EmbeddedPostgresError, match="no temporary directory is writable, has room"):
        EmbeddedPostgres.start()


def test_two_servers_are_different_clusters_on_different_ports(server: EmbeddedPostgres) -> None:
    identifier = "select system_identifier from pg_control_system()"
    with EmbeddedPostgres.start(settings={"max_connections": "20"}) as other:
        assert other.port != server.port
        assert ask(other, identifier) != ask(server, identifier)
        assert ask(other, "show max_connections") == "20"


def test_postgres_16_starts_too() -> None:
    with EmbeddedPostgres.start(major=16) as server:
        assert str(ask(server, "show server_version")).startswith("16.")


def test_a_standby_follows_its_primary_until_it_is_promoted() -> None:
    with EmbeddedPostgres.start() as primary:
        with psycopg.connect(primary.uri()) as connection:
            connection.execute("create table notes (note text)")
        with EmbeddedPostgres.start(primary=primary) as standby:
            assert ask(standby, "select pg_is_in_recovery()") is True
            ask(primary, "insert into notes values ('later') returning note")
            wait_until(lambda: ask(standby, "select count(*) from notes") == 1)
            assert ask(standby, "select pg_promote()") is True
            assert ask(standby, "insert into notes values ('its own') returning note") == "its own"
        assert ask(primary, "select count(*) from notes") == 1


def test_a_primary_that_does_not_run_has_no_standby(shaken: EmbeddedPostgres) -> None:
    shaken.stop_fast()
    with pytest.raises(EmbeddedPostgresError, match="pg_basebackup failed"):
        EmbeddedPostgres.start(primary=shaken)
    shaken.restart()


@pytest.mark.parametrize("how", ["stop_fast", "kill_immediately", "kill_hard"])
def test_committed_rows_survive_each_way_to_stop(shaken: EmbeddedPostgres, how: str) -> None:
    with psycopg.connect(shaken.uri()) as connection:
        connection.execute(f"create table {how} as select 7 as value".encode())
    port = shaken.port
    # A session that stays open must not keep the server from stopping.
    with psycopg.connect(shaken.uri()):
        getattr(shaken, how)()
        with pytest.raises(psycopg.OperationalError, match=r"refused|closed the connection"):
            ask(shaken, "select 1")
        shaken.restart()
        assert shaken.port == port
        assert ask(shaken, f"select value from {how}") == 7


def test_kept_data_is_put_back(shaken: EmbeddedPostgres) -> None:
    with psycopg.connect(shaken.uri()) as connection:
        connection.execute("create table kept as select 1 as value")
    shaken.stop_fast()
    kept = shaken.keep_data()
    shaken.restart()
    ask(shaken, "insert into kept values (2) returning value")
    shaken.stop_fast()
    shaken.put_back(kept)
    shaken.restart()
    assert ask(shaken, "select count(*) from kept") == 1
    assert not kept.exists()


def test_a_log_that_was_thrown_away_loses_what_was_in_no_checkpoint() -> None:
    with EmbeddedPostgres.start() as server:
        with psycopg.connect(server.uri()) as connection:
            connection.execute("create table lost (value integer)")
        ask(server, "select pg_switch_wal()")
        server.stop_fast()
        server.restart()
        ask(server, "insert into lost values (1) returning value")
        server.kill_immediately()
        server.reset_wal()
        server.restart()
        assert ask(server, "select count(*) from lost") == 0


def test_the_pid_of_a_stopped_server_is_refused(shaken: EmbeddedPostgres) -> None:
    shaken.stop_fast()
    with pytest.raises(EmbeddedPostgresError, match="the embedded server is not running"):
        _ = shaken.pid
    shaken.restart()


def test_a_frozen_server_stands_still_until_the_thaw(shaken: EmbeddedPostgres) -> None:
    with psycopg.connect(shaken.uri(), autocommit=True) as connection:
        processes = [shaken.pid, connection.info.backend_pid]
        shaken.freeze()
        wait_until(lambda: [process_state(pid) for pid in processes] == ["T", "T"])
        shaken.thaw()
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_frozen_server_stops_as_well() -> None:
    with EmbeddedPostgres.start() as server:
        pid = server.pid
        server.freeze()
    assert not is_running(pid)


@pytest.mark.parametrize("how", ["stop_fast", "kill_immediately", "kill_hard", "stop"])
def test_no_shared_memory_is_left_behind(how: str) -> None:
    server = EmbeddedPostgres.start()
    mapped = Path(f"/proc/{server.pid}/maps").read_text()
    segments = [Path(path) for path in re.findall(r"/dev/shm/PostgreSQL\S+", mapped)]
    assert segments
    getattr(server, how)()
    server.stop()
    assert [segment for segment in segments if segment.exists()] == []


def test_stop_removes_data_and_process_and_may_be_repeated() -> None:
    server = EmbeddedPostgres.start()
    pid, directory = server.pid, server.data_directory.parent
    server.stop()
    server.stop()
    assert not is_running(pid)
    assert not directory.exists()


def test_the_data_directory_is_closed_to_others(server: EmbeddedPostgres) -> None:
    directory = server.data_directory.parent
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(server.data_directory.stat().st_mode) == 0o700


def test_a_start_changes_no_directory_above_its_own(server: EmbeddedPostgres) -> None:
    wheel = Path(server.bin("postgres"))
    above = [*server.data_directory.parent.parents, *wheel.parents]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in above]
    with EmbeddedPostgres.start():
        assert [(path.stat().st_mode, path.stat().st_uid) for path in above] == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to run the server as")
def test_root_runs_the_server_as_an_unprivileged_user(server: EmbeddedPostgres) -> None:
    assert Path(f"/proc/{server.pid}").stat().st_uid != 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user to run the server as")
def test_programs_that_the_other_user_may_not_reach_are_copied(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = Path(server.bin("postgres")).parents[1]
    is_open = embedded_postgres._is_open_to_others
    monkeypatch.setattr(
        embedded_postgres, "_is_open_to_others", lambda path: path != wheel and is_open(path)
    )
    with EmbeddedPostgres.start() as other:
        running = Path(f"/proc/{other.pid}/exe").readlink()
        assert wheel not in running.parents
        assert running.stat().st_uid == Path(f"/proc/{other.pid}").stat().st_uid
        assert ask(other, "select 1") == 1
    assert not running.exists()


@pytest.fixture
def holder(server: EmbeddedPostgres, first_data: Path) -> Iterator[subprocess.Popen[str]]:
    """Another Python process that holds a server until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_A_SERVER, str(first_data)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        start_new_session=True,
    ) as process:
        yield process
        process.kill()


def held_server(holder: subprocess.Popen[str]) -> tuple[int, Path]:
    assert holder.stdout is not None
    pid, directory = holder.stdout.readline().split()
    assert is_running(int(pid))
    return int(pid), Path(directory)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_server_outlives_a_parent_that_was_killed(
    holder: subprocess.Popen[str], how: signal.Signals
) -> None:
    pid, directory = held_server(holder)
    # To the whole group, as Ctrl-C in a terminal does.
    os.killpg(holder.pid, how)
    holder.wait()
    wait_until(lambda: not is_running(pid) and not directory.exists())


def test_no_server_outlives_a_parent_that_ends_without_stopping_it(
    holder: subprocess.Popen[str],
) -> None:
    pid, directory = held_server(holder)
    holder.communicate(input="\n")
    assert holder.returncode == 0
    assert not is_running(pid)
    assert not directory.exists()


def test_a_forked_child_that_ends_leaves_the_parents_server_alone(
    server: EmbeddedPostgres, first_data: Path
) -> None:
    script = HOLD_A_SERVER + (
        "import os, time\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    sys.exit()\n"
        "os.waitpid(child, 0)\n"
        "import psycopg\n"
        "psycopg.connect(server.uri()).close()\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(first_data)],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=CHECKOUT,
    )
