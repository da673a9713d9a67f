"""A machine with a systemd of its own as PID 1, in namespaces of this one.

It has this machine's files beneath its own changes, which are in memory, its network and its
clock. Its devices, mounts, processes and control groups are its own; the kernel's settings are
read-only there. Only the units of this project run in it, and the journal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self

from tests.conftest import ROOT
from tests.crash.workers import wait_until

SYSTEMD: Final = Path("/usr/lib/systemd/systemd")
ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
NAME: Final = f"payout-engine-test-{os.getpid()}"
# Units of systemd itself, without which nothing starts or stops in order.
UNITS: Final = (
    "basic.target",
    "multi-user.target",
    "network-online.target",
    "shutdown.target",
    "sysinit.target",
    "systemd-journald.service",
    "systemd-journald.socket",
)
TRY: Final = r"""
mount -t tmpfs tmpfs "$0"
cd "$0"
mkdir groups upper work machine
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay machine
mount -t cgroup2 cgroup2 groups
mkdir "groups/$1"
rmdir "groups/$1"
"""
# Ends with its standard input: then nothing is left, however the test ended.
OUTSIDE: Final = r"""
set -e
mkdir groups root
mount -t cgroup2 cgroup2 groups
group=groups/$NAME
mkdir "$group"
sh -c 'echo $$ > "$0/cgroup.procs" && exec unshare --fork --kill-child --pid --mount --uts --ipc \
    --cgroup sh -ec "$INSIDE"' "$group" < /dev/null &
echo $!
read -r _ || true
kill -KILL $!
wait $! || true
until find "$group" -depth -type d -exec rmdir {} + 2> /dev/null; do sleep 0.05; done
"""
INSIDE: Final = r"""
mount -t tmpfs -o mode=0755 tmpfs root
cd root
mkdir upper work machine
mount -t overlay -o lowerdir=/,upperdir=upper,workdir=work overlay machine
cd machine
mount -t proc proc proc
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=0755 tmpfs dev
mkdir dev/shm dev/pts
for name in full null random tty urandom zero; do
    touch dev/$name
    mount --bind /dev/$name dev/$name
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

rm -rf etc/systemd/system opt
mkdir -p etc/systemd/system/multi-user.target.wants opt/python opt/packages opt/source
for unit in $UNITS; do cp /usr/lib/systemd/system/$unit etc/systemd/system; done
ln -s ../systemd-journald.service etc/systemd/system/multi-user.target.wants
cp -a "$PROGRAM" opt/payout-engine
mount --bind "$PYTHON" opt/python
mount --bind "$PACKAGES" opt/packages
mount --bind "$SOURCE" opt/source
for name in python packages source; do mount -o remount,bind,ro opt/$name; done

mkdir .before
pivot_root . .before
umount -l .before
mount --make-rshared /
cd /
exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    SYSTEMD_UNIT_PATH=/etc/systemd/system \
    SYSTEMD_GENERATOR_PATH=/nowhere SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nowhere \
    /usr/lib/systemd/systemd --unit=multi-user.target --log-target=journal
"""
PROGRAM: Final = """\
#!/opt/payout-engine/bin/python
import sys
from payout_engine.__main__ import main
sys.exit(main())
"""


class Machine:
    """One machine. Use it as a context manager; `why_not` says why there can be none here."""

    def __init__(self, directory: Path) -> None:
        """Make it in an empty directory."""
        self._directory = directory
        self._pid = 0
        self._outside: subprocess.Popen[str] | None = None

    @staticmethod
    def why_not() -> str | None:
        """Return the first thing that is missing here, or None."""
        if sys.platform != "linux" or os.getuid():
            return "only root makes namespaces on Linux"
        if not SYSTEMD.exists() or not all(map(shutil.which, ("systemctl", "unshare", "nsenter"))):
            return "systemd is not installed"
        with tempfile.TemporaryDirectory() as directory:
            command = ("unshare", "--mount", "--pid", "--fork", "sh", "-ec", TRY, directory, NAME)
            done = subprocess.run(command, capture_output=True, text=True)
        return done.stderr.strip() or None

    def __enter__(self) -> Self:
        program = self._directory / "program"
        _write_environment(program)
        with (self._directory / "log").open("w") as log:
            self._outside = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", OUTSIDE],
                cwd=self._directory,
                env={
                    **ENVIRONMENT,
                    "INSIDE": INSIDE,
                    "NAME": NAME,
                    "PROGRAM": str(program),
                    "PYTHON": sys.base_prefix,
                    "PACKAGES": sysconfig.get_path("purelib"),
                    "SOURCE": str(ROOT),
                    "UNITS": " ".join(UNITS),
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        try:
            self._wait_for_systemd(_pipe(self._outside.stdout).readline().strip())
        except BaseException:
            self._end()
            raise
        return self

    def _wait_for_systemd(self, parent: str) -> None:
        assert parent, self.log()
        children = Path(f"/proc/{parent}/task/{parent}/children")
        wait_until(lambda: children.read_text(encoding="utf-8").split(), tell=self.log)
        [pid] = children.read_text(encoding="utf-8").split()
        self._pid = int(pid)
        name = Path(f"/proc/{pid}/comm")
        wait_until(lambda: name.read_text(encoding="utf-8") == "systemd\n", tell=self.log)
        wait_until(lambda: self.ask("systemctl", "is-system-running") == "running", tell=self.log)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _end(self) -> None:
        assert self._outside is not None
        _pipe(self._outside.stdin).close()
        self._outside.wait(timeout=30)
        _pipe(self._outside.stdout).close()

    def run(self, *command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command in it, with this on standard input."""
        enter = ("nsenter", f"--target={self._pid}", "--mount", "--uts", "--ipc", "--pid")
        return subprocess.run(
            [*enter, "--root", "--wd", *command],
            input=text,
            capture_output=True,
            text=True,
            env=ENVIRONMENT,
        )

    def do(self, *command: str, text: str = "") -> None:
        """Run a command in it, which must go well."""
        done = self.run(*command, text=text)
        assert done.returncode == 0, (command, done.stdout, done.stderr, self.log())

    def ask(self, *command: str) -> str:
        """Run a command in it, and return what it prints."""
        return self.run(*command).stdout.strip()

    def show(self, unit: str, *properties: str) -> list[str]:
        """Return the values of a unit's properties."""
        told = self.ask("systemctl", "show", *(f"-p{name}" for name in properties), unit)
        found = dict(line.split("=", 1) for line in told.splitlines())
        return [found[name] for name in properties]

    def write(self, path: str, text: str) -> None:
        """Write a file in it, and the folders above."""
        self.do("sh", "-ec", 'mkdir -p "${0%/*}"; cat > "$0"', path, text=text)

    def log(self) -> str:
        """Return what was told while it was made, and its journal."""
        made = (self._directory / "log").read_text(encoding="utf-8")
        return made + (self.ask("journalctl", "--no-pager") if self._pid else "")


def _pipe(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _write_environment(root: Path) -> None:
    """Write an environment of Python that borrows its packages from that of the tests."""
    number = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = root / "lib" / number / "site-packages"
    packages.mkdir(parents=True)
    borrowed = ("/opt/packages", "/opt/source/worker")
    (packages / "borrowed.pth").write_text("\n".join(borrowed), encoding="utf-8")
    (root / "pyvenv.cfg").write_text("home = /opt/python/bin\n", encoding="utf-8")
    programs = root / "bin"
    programs.mkdir()
    (programs / "python").symlink_to(f"/opt/python/bin/{number}")
    (programs / "payout-engine").write_text(PROGRAM, encoding="utf-8")
    (programs / "payout-engine").chmod(0o755)
