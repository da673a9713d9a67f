"""The settings of the worker, out of the environment: database, Stripe and limits.

Everything is checked here, once; the key and the database's password never show in a `repr`.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

STRIPE_API_BASE = "https://api.stripe.com"
ENVIRONMENT = """\
settings, from the environment:
  DATABASE_URL              libpq URI of the database
  STRIPE_API_KEY            secret or restricted key; or STRIPE_API_KEY_FILE, a file that holds it
  STRIPE_API_BASE           another address than https://api.stripe.com
  PAYOUT_MAX_IN_FLIGHT      requests to Stripe under way at once, in a process (100)
  PAYOUT_CLAIM_LIMIT        transfers that one claim may take (100)
  PAYOUT_RECONCILE_MINUTES  about how often all is compared with Stripe; 0: never (60)
  PAYOUT_ALARM_COMMAND      command that gets alarms as JSON on standard input; or
                            PAYOUT_ALARM_URL, to which they are posted
"""
SECRET_KEY = re.compile(r"(sk|rk)_[A-Za-z0-9_]{3,250}")


class SettingsError(Exception):
    """A setting is missing or wrong; the message names it and says how to set it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a worker, checked."""

    database_url: str = field(repr=False)
    stripe_api_key: str = field(repr=False)
    stripe_api_base: str = STRIPE_API_BASE
    max_in_flight: int = 100
    """Requests to Stripe under way at once, in this process."""
    claim_limit: int = 100
    """Transfers that one claim may take, at most."""
    reconcile_minutes: int = 60
    """About how often everything is compared with Stripe's lists; 0: never."""
    alarm_command: tuple[str, ...] = field(default=(), repr=False)
    """The program that is given alarms, with its arguments; empty: none."""
    alarm_url: str = field(default="", repr=False)
    """The webhook that is given alarms, a secret; empty: none."""
    http: tuple[str, int] | None = None
    """Host and port at which the worker answers monitors."""

    @property
    def key_mode(self) -> str:
        """`live`, `test`, or `unknown` for a key whose prefix has no mode."""
        found = re.search(r"_(live|test)_", self.stripe_api_key)
        return found[1] if found else "unknown"

    @property
    def is_livemode(self) -> bool | None:
        """Whether the key is one of live mode; None for a key whose prefix has no mode."""
        return {"live": True, "test": False}.get(self.key_mode)

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Read and check every setting. Raises SettingsError for the first that is wrong."""
        return cls(
            database_url=database_url(environment),
            stripe_api_key=_stripe_api_key(environment),
            stripe_api_base=_stripe_api_base(environment),
            max_in_flight=_count(environment, "PAYOUT_MAX_IN_FLIGHT", default=cls.max_in_flight),
            claim_limit=_count(environment, "PAYOUT_CLAIM_LIMIT", default=cls.claim_limit),
            reconcile_minutes=_count(
                environment, "PAYOUT_RECONCILE_MINUTES", default=cls.reconcile_minutes, least=0
            ),
            alarm_command=_alarm_command(environment),
            alarm_url=_alarm_url(environment),
        )


def database_url(environment: Mapping[str, str]) -> str:
    """Return DATABASE_URL. Raises SettingsError if it is missing or malformed."""
    url = environment.get("DATABASE_URL", "").strip()
    if not url:
        raise SettingsError(
            "DATABASE_URL is not set: set it to a libpq URI, for example "
            "postgresql://payouts@localhost:5432/shop"
        )
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:  # its message shows parts of the password
        raise SettingsError(
            "DATABASE_URL is no libpq URI or connection string: write characters such as %, @, / "
            "and spaces in a password as %25, %40, %2F and %20"
        ) from None
    return url


def _stripe_api_key(environment: Mapping[str, str]) -> str:
    key = environment.get("STRIPE_API_KEY", "").strip()
    file = environment.get("STRIPE_API_KEY_FILE", "").strip()
    if bool(key) == bool(file):
        raise SettingsError(
            f"set one of STRIPE_API_KEY and STRIPE_API_KEY_FILE{', not both' if key else ''}: a "
            "secret or restricted key of the platform account (of test mode, to try it), or a file "
            "that holds it"
        )
    if file:
        try:
            key = Path(file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not text"
            raise SettingsError(f"STRIPE_API_KEY_FILE ({file}) cannot be read: {reason}") from None
    if not SECRET_KEY.fullmatch(key):
        raise SettingsError(
            "the Stripe key is not a secret or restricted key: those begin with sk_ or rk_; "
            "find it in Stripe's dashboard under Developers, API keys"
        )
    return key


def _stripe_api_base(environment: Mapping[str, str]) -> str:
    base = environment.get("STRIPE_API_BASE", "").strip().rstrip("/") or STRIPE_API_BASE
    if _is_safe(base):
        return base
    raise SettingsError(
        "STRIPE_API_BASE must be an https address (plain http only on this machine's loopback), "
        f"for example {STRIPE_API_BASE}"
    )


def _alarm_command(environment: Mapping[str, str]) -> tuple[str, ...]:
    command = environment.get("PAYOUT_ALARM_COMMAND", "").strip()
    if command and environment.get("PAYOUT_ALARM_URL", "").strip():
        raise SettingsError("set one of PAYOUT_ALARM_COMMAND and PAYOUT_ALARM_URL, not both")
    try:
        return tuple(shlex.split(command))
    except ValueError:  # the command may hold a secret
        raise SettingsError(
            "PAYOUT_ALARM_COMMAND is no command: a quotation mark is not closed"
        ) from None


def _alarm_url(environment: Mapping[str, str]) -> str:
    url = environment.get("PAYOUT_ALARM_URL", "").strip()
    if url and not _is_safe(url):
        raise SettingsError(
            "PAYOUT_ALARM_URL must be an https address (plain http only on this machine's loopback)"
        )
    return url


def http_address(text: str) -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:9464`` or ``[::1]:9464``. Raises SettingsError."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", text)
    if not found or int(found[3]) > 65535:
        raise SettingsError("--http must be a host and a port, for example 127.0.0.1:9464")
    return found[1] or found[2], int(found[3])


def _is_safe(url: str) -> bool:
    """Say whether an address is encrypted, or of this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    return bool(parts.scheme == "https" and host) or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _count(environment: Mapping[str, str], name: str, *, default: int, least: int = 1) -> int:
    text = environment.get(name, "").strip() or str(default)
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) < least:
        raise SettingsError(f"{name} must be a whole number from {least} to 9999")
    return int(text)
