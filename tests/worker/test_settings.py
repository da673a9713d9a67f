"""Settings are read once, and a wrong one is named in a sentence without the secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from payout_engine.errors import UserError
from payout_engine.settings import Settings, is_livemode, mode_of
from tests.worker.fakes import CANARY

GOOD = {"DATABASE_URL": "postgresql://u:hidden@localhost/db", "STRIPE_API_KEY": CANARY}


def test_a_database_and_a_key_are_enough() -> None:
    settings = Settings.read(GOOD)
    assert settings.database_url == GOOD["DATABASE_URL"]
    assert settings.stripe_api_key == CANARY
    assert settings.stripe_api_base == "https://api.stripe.com"
    assert settings.max_in_flight == 100
    assert settings.reconcile_minutes == 60


@pytest.mark.parametrize(("text", "minutes"), [("0", 0), ("5", 5), (" ", 60)])
def test_the_interval_of_the_comparison_can_be_set(text: str, minutes: int) -> None:
    settings = Settings.read({**GOOD, "PAYOUT_RECONCILE_MINUTES": text})
    assert settings.reconcile_minutes == minutes


def test_secrets_are_not_shown() -> None:
    shown = repr(Settings.read(GOOD))
    assert CANARY not in shown
    assert "hidden" not in shown


@pytest.mark.parametrize(
    ("key", "mode", "livemode"),
    [
        ("sk_test_abc", "test", False),
        ("rk_live_abc", "live", True),
        ("sk_org_live_abc", "live", True),
        ("sk_abc", "unknown", None),
    ],
)
def test_the_mode_of_a_key_is_read_from_its_prefix(
    key: str, mode: str, livemode: bool | None
) -> None:
    assert mode_of(key) == mode
    assert is_livemode(key) is livemode


@pytest.mark.parametrize("name", list(GOOD))
def test_a_secret_may_be_in_a_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    file.write_text(f"{GOOD[name]}\n")
    settings = Settings.read({**GOOD, name: "", f"{name}_FILE": str(file)})
    assert (settings.database_url, settings.stripe_api_key) == tuple(GOOD.values())


@pytest.mark.parametrize("name", list(GOOD))
def test_the_file_may_be_one_of_an_editor_that_marks_utf_8(tmp_path: Path, name: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(f"\ufeff{GOOD[name]}\r\n".encode())
    settings = Settings.read({**GOOD, name: "", f"{name}_FILE": str(file)})
    assert (settings.database_url, settings.stripe_api_key) == tuple(GOOD.values())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:hidden@h/x?pgbouncer=true", "libpq knows no parameter pgbouncer; leave"),
        ("postgres://u@h/x?sslmode=require&schema=public", "libpq knows no parameter schema;"),
        ("postgresql://u@h/x?ssl=true&currentSchema=a", "libpq knows no parameter currentSchema"),
        ("postgresql+asyncpg://u:hidden@h/x", "a URI begins with postgresql:// and names no driv"),
        ("jdbc:postgresql://h/x?user=u", "a URI begins with postgresql:// and names no driver"),
        ("mysql://u:hidden@h/x", "a URI begins with postgresql://"),
        ('"postgresql://u:hidden@h/x"', "it stands in quotation marks; take them away"),
        ("shop", "a URI begins with postgresql://"),
        ("postgresql://u:hid?den=x@h/x", "write characters such as %"),
        ("postgresql://u:hid?den", "write characters such as %"),
    ],
)
def test_a_url_of_another_program_is_refused_with_what_is_wrong_in_it(url: str, told: str) -> None:
    """Each was told to write characters of the password anew."""
    with pytest.raises(UserError) as caught:
        Settings.read({**GOOD, "DATABASE_URL": url})
    wrong = str(caught.value).removeprefix("DATABASE_URL is no libpq URI or connection string: ")
    assert wrong.startswith(told)
    assert "hid" not in wrong


@pytest.mark.parametrize("name", list(GOOD))
@pytest.mark.parametrize("content", [b"\xff\xfe", None])
def test_a_secret_that_is_given_in_place_of_its_file_is_not_shown(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    given = GOOD[name] if content is None else str(file)
    with pytest.raises(UserError) as caught:
        Settings.read({**GOOD, name: "", f"{name}_FILE": given})
    assert str(caught.value).startswith(f"{name}_FILE")
    assert "cannot be read: " in str(caught.value)
    assert "hidden" not in str(caught.value)
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize(
    "base",
    ["https://stripe.example/", "http://127.0.0.1:8080", "http://localhost", "http://[::1]:1"],
)
def test_another_stripe_url_may_be_unencrypted_on_loopback_only(base: str) -> None:
    settings = Settings.read({**GOOD, "STRIPE_API_BASE": base})
    assert settings.stripe_api_base == base.rstrip("/")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DATABASE_URL": ""}, "DATABASE_URL is not set: set it to a libpq URI"),
        ({"STRIPE_API_KEY": ""}, "set one of STRIPE_API_KEY and STRIPE_API_KEY_FILE: a secret"),
        (
            {"STRIPE_API_KEY_FILE": "/key"},
            "set one of STRIPE_API_KEY and STRIPE_API_KEY_FILE, not both",
        ),
        (
            {"DATABASE_URL_FILE": "/url"},
            "set one of DATABASE_URL and DATABASE_URL_FILE, not both",
        ),
        (
            {"STRIPE_API_KEY": "", "STRIPE_API_KEY_FILE": "/no/such/file"},
            r"STRIPE_API_KEY_FILE \(/no/such/file\) cannot be read: No such file",
        ),
        ({"STRIPE_API_KEY": "pk_test_public"}, "those begin with sk_ or rk_"),
        ({"STRIPE_API_KEY": f"{CANARY}\r\nHost: x"}, "not a secret or restricted key"),
        ({"STRIPE_API_BASE": "http://stripe.example"}, "STRIPE_API_BASE must be an https address"),
        ({"STRIPE_API_BASE": "http://127.0.0.1.evil"}, "STRIPE_API_BASE must be an https address"),
        ({"STRIPE_API_BASE": "api.stripe.com"}, "STRIPE_API_BASE must be an https address"),
        ({"PAYOUT_MAX_IN_FLIGHT": "0"}, "PAYOUT_MAX_IN_FLIGHT must be a whole number from 1"),
        (
            {"PAYOUT_RECONCILE_MINUTES": "-1"},
            "PAYOUT_RECONCILE_MINUTES must be a whole number from 0 to 9999",
        ),
        ({"PAYOUT_MAX_IN_FLIGHT": "1.5"}, "PAYOUT_MAX_IN_FLIGHT must be a whole number from 1"),
        ({"PAYOUT_MAX_IN_FLIGHT": "10000"}, "must be a whole number from 1 to 9999"),
        ({"PAYOUT_MAX_IN_FLIGHT": "many"}, "PAYOUT_MAX_IN_FLIGHT must be a whole number from 1"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        Settings.read({**GOOD, **changes})
    assert CANARY not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
