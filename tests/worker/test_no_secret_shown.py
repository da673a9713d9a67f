"""No part of a key or a password is shown, however malformed it is or wherever it was put."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from payout_engine import cli, errors
from payout_engine.errors import UserError
from payout_engine.settings import Settings

CASES: Final = int(os.environ.get("PAYOUT_SECRET_CASES", "300"))
JUNK: Final = "%@/:?#& '\"\\=[]{}|,;+*~^é\n\t"
LETTERS: Final = "QXZJKVW3456789"  # in no word of ours
COMMANDS: Final = (["doctor"], ["reconcile"], ["execute", "1"], ["migrate"], ["worker"])
NOWHERE: Final = "postgresql://u@127.0.0.1:1/x"
KEY: Final = "sk_test_0123456789"


def malformed(chance: random.Random) -> str:
    """Return a secret of random characters, with others between them that break its place."""
    letters = [chance.choice(LETTERS) for _ in range(24)]
    for _ in range(chance.randrange(4)):
        letters.insert(chance.randrange(len(letters) + 1), chance.choice(JUNK))
    return "".join(letters)


URLS: Final[tuple[Callable[[str], str], ...]] = (
    lambda secret: f"postgresql://u:{secret}@127.0.0.1:1/x",
    lambda secret: f"postgres://u:{secret}@127.0.0.1:1/x?connect_timeout=2",
    # With @ or a comma these may name a port and a host.
    lambda secret: f"postgresql://u:{re.sub('[@,]', '', secret)}/x",
    lambda secret: f"postgresql://u:{re.sub('[@,]', '', secret)}",
    lambda secret: f"postgresql://127.0.0.1:1/x?password={secret}",
    lambda secret: f"postgresql://127.0.0.1:1/x?passwrd={secret}",
    lambda secret: f"host=127.0.0.1 port=1 dbname=x password={secret}",
    lambda secret: f"host=127.0.0.1 port=1 dbname=x password='{secret}",
    lambda secret: f"host=127.0.0.1 port=1 dbname=x passwrd={secret}",
    lambda secret: f"host=127.0.0.1 port=1 dbname=x password = {secret} user=u",
    lambda secret: f"sk_live_{secret}",
    lambda secret: secret,
)
KEYS: Final[tuple[Callable[[str], str], ...]] = (
    lambda secret: f"sk_live_{secret}",
    lambda secret: f"rk_test_{secret} ",
    lambda secret: f"pk_live_{secret}",
    lambda secret: f"STRIPE_API_KEY=sk_live_{secret}",
    lambda secret: f"Bearer sk-live-{secret}",
    lambda secret: f"sk_live_{secret}" * 20,
    lambda secret: secret,
)


def settings(chance: random.Random, secret: str, file: Path) -> tuple[list[str], dict[str, str]]:
    """Return a command, and the environment in which the secret stands somewhere."""
    command = list(chance.choice(COMMANDS))
    given = {"DATABASE_URL": NOWHERE, "STRIPE_API_KEY": KEY, "STRIPE_API_BASE": "http://[::1]:1"}
    place = chance.randrange(7)
    if place <= 1:
        given["DATABASE_URL"] = chance.choice(URLS)(secret)
    elif place == 2:
        given["STRIPE_API_KEY"] = chance.choice(KEYS)(secret)
    elif place == 3:
        file.write_bytes(chance.choice(KEYS)(secret).encode())
        given |= {"STRIPE_API_KEY": "", "STRIPE_API_KEY_FILE": str(file)}
    elif place == 4:
        given |= {"STRIPE_API_KEY": "", "STRIPE_API_KEY_FILE": chance.choice(KEYS)(secret)}
    elif place == 5:
        given["STRIPE_API_BASE"] = f"https://u:{secret}@127.0.0.1:1"
    else:
        wrong = chance.choice(KEYS)(secret)
        command = chance.choice(
            [[wrong], ["execute", wrong], ["doctor", f"--key={wrong}"], ["doctor", wrong]]
        )
    return command, given


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A worker only reads its settings here: with good ones it would wait for the database."""

    def worker(options: object) -> int:
        """stand in"""
        Settings.read(os.environ)
        return 0

    monkeypatch.setattr(cli, "worker", worker)
    yield
    errors._hidden.clear()


@pytest.mark.parametrize("seed", range(4))
def test_no_part_of_a_secret_is_shown(
    seed: int,
    ending: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A part of the password in the message of libpq."""
    chance = random.Random(seed)
    for _ in range(CASES // 4):
        secret = malformed(chance)
        command, given = settings(chance, secret, tmp_path / "key")
        for name in ("STRIPE_API_KEY_FILE", *given):
            monkeypatch.setenv(name, given.get(name, "").replace("\0", ""))
        code: object
        try:
            code = cli.main(command)
        except SystemExit as ended:
            code = ended.code
        shown = "".join(capsys.readouterr()) + caplog.text
        try:
            shown += repr(Settings.read(given))
        except UserError as error:
            shown += f"{error!r}"
        assert code in (0, 1, 2), (command, given, shown)
        parts = re.findall(f"[{LETTERS}]{{4,}}", secret)
        fours = {part[at : at + 4] for part in parts for at in range(len(part) - 3)}
        assert not [four for four in fours if four in shown.upper()], (command, given, shown)
        assert "Traceback" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:pa/ss@h/x",
        "postgresql://u:12/ss@h/x",
        "postgresql://u:p@ss@h/x",
        "postgresql://u:pass/x",
        "postgresql://u:1234567/x",
        "postgresql://u:pa?host=ss@h/x",
        "host=h port=pass",
        "postgresql://u:,pass/x",
    ],
)
def test_a_url_that_libpq_takes_apart_otherwise_is_refused(url: str) -> None:
    with pytest.raises(UserError, match=r"^DATABASE_URL is no libpq URI") as refusal:
        Settings.read({"DATABASE_URL": url, "STRIPE_API_KEY": KEY})
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p%40s%2Fs@h/x",
        "postgres://u@one:5432,two:5433/shop?target_session_attrs=read-write",
        "postgresql:///x?host=/run/postgresql&options=-c%20jit%3Doff",
        "postgresql://[::1]:5432/x",
        "host=h password='p@s/s :?' user=u@tenant",
        "postgresql://",
    ],
)
def test_a_url_that_is_meant_so_is_taken(url: str) -> None:
    assert Settings.read({"DATABASE_URL": url, "STRIPE_API_KEY": KEY}).database_url == url


def test_what_stripe_shows_of_a_key_is_struck_out_too() -> None:
    told = errors.redact("Invalid API Key provided: sk_test_********************1234 (see docs)")
    assert told == "Invalid API Key provided: *** (see docs)"
    told = errors.redact(r"host=h password='it is \'quoted\' here' user=u")
    assert "quoted" not in told
    assert told.endswith(" user=u")
