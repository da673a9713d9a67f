"""The settings of the worker, out of the environment: database, Stripe and limits.

Everything is checked here, once; the key and the database's password never show in a `repr`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

STRIPE_API_BASE = "https://api.stripe.com"
ENVIRONMENT = """\
settings, from the environment:
  DATABASE_URL              libpq URI of the database; or DATABASE_URL_FILE, a file that holds it
  STRIPE_API_KEY            secret or restricted key; or STRIPE_API_KEY_FILE, a file that holds it
  STRIPE_API_BASE           another address than https://api.stripe.com
  PAYOUT_MAX_IN_FLIGHT      requests to Stripe under way at once, in a process (100)
  PAYOUT_CLAIM_LIMIT        transfers that one claim may take (100)
  PAYOUT_RECONCILE_MINUTES  about how often all is compared with Stripe; 0: never (60)
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
        )


def database_url(environment: Mapping[str, str]) -> str:
    """Return DATABASE_URL. Raises SettingsError if it is missing or malformed."""
    url = _secret(environment, "DATABASE_URL")
    if not url:
        raise SettingsError(
            "DATABASE_URL is not set: set it to a libpq URI, for example "
            "postgresql://payouts@localhost:5432/shop, or set DATABASE_URL_FILE"
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
    key = _secret(environment, "STRIPE_API_KEY")
    if not key:
        raise SettingsError(
            "set one of STRIPE_API_KEY and STRIPE_API_KEY_FILE: a secret or restricted key of the "
            "platform account (of test mode, to try it), or a file that holds it"
        )
    if not SECRET_KEY.fullmatch(key):
        raise SettingsError(
            "the Stripe key is not a secret or restricted key: those begin with sk_ or rk_; "
            "find it in Stripe's dashboard under Developers, API keys"
        )
    return key


def _secret(environment: Mapping[str, str], name: str) -> str:
    """Return a setting, or the content of the file that the setting NAME_FILE names."""
    value = environment.get(name, "").strip()
    file = environment.get(f"{name}_FILE", "").strip()
    if value and file:
        raise SettingsError(f"set one of {name} and {name}_FILE, not both")
    if not file:
        return value
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        shown = f" ({file})" if file.startswith("/") else ""  # it may be the secret itself
        raise SettingsError(f"{name}_FILE{shown} cannot be read: {reason}") from None


def _stripe_api_base(environment: Mapping[str, str]) -> str:
    base = environment.get("STRIPE_API_BASE", "").strip().rstrip("/") or STRIPE_API_BASE
    parts = urlsplit(base)
    host = parts.hostname or ""
    if (parts.scheme == "https" and host) or (parts.scheme == "http" and _is_loopback(host)):
        return base
    raise SettingsError(
        "STRIPE_API_BASE must be an https address (plain http only on this machine's loopback), "
        f"for example {STRIPE_API_BASE}"
    )


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
