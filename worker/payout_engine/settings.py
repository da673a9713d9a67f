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
from psycopg.pq import Conninfo

from payout_engine.errors import UserError, hide

STRIPE_API_BASE = "https://api.stripe.com"
DATABASE = """\
settings, from the environment:
  DATABASE_URL              libpq URI of the database; or DATABASE_URL_FILE, a file that holds it
"""
ENVIRONMENT = f"""\
{DATABASE}\
  STRIPE_API_KEY            secret or restricted key; or STRIPE_API_KEY_FILE, a file that holds it
  STRIPE_API_BASE           another address than https://api.stripe.com
  PAYOUT_MAX_IN_FLIGHT      requests to Stripe under way at once, in a process (100)
  PAYOUT_RECONCILE_MINUTES  about how often all is compared with Stripe; 0: never (60)
  PAYOUT_ALARM_COMMAND      command that gets alarms as JSON on standard input; or
                            PAYOUT_ALARM_URL, to which they are posted
"""
LARGEST_FILE = 65_536
SECRET_KEY = re.compile(r"(sk|rk)_[A-Za-z0-9_]{3,250}")


MALFORMED_URL = "DATABASE_URL is no libpq URI or connection string: "
QUOTE_PASSWORD = (
    "write characters such as %, @, / and spaces in a password as %25, %40, %2F and %20"
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a worker, checked."""

    database_url: str = field(repr=False)
    stripe_api_key: str = field(repr=False)
    """Empty only where no key is needed, for the doctor."""
    key_file: str = field(default="", repr=False)
    """The file that holds the key; empty: none does."""
    stripe_api_base: str = STRIPE_API_BASE
    max_in_flight: int = 100
    """Requests to Stripe under way at once, in this process."""
    reconcile_minutes: int = 60
    """About how often everything is compared with Stripe's lists; 0: never."""
    alarm_command: tuple[str, ...] = field(default=(), repr=False)
    """The program that is given alarms, with its arguments; empty: none."""
    alarm_url: str = field(default="", repr=False)
    """The webhook that is given alarms, a secret; empty: none."""
    http: tuple[str, int] | None = None
    """Host and port at which the worker answers monitors."""

    @classmethod
    def read(
        cls, environment: Mapping[str, str], *, needs_key: bool = True, http: str | None = None
    ) -> Settings:
        """Read and check every setting. Raises UserError for the first that is wrong."""
        url = database_url(environment)
        key, key_file = _stripe_api_key(environment, needs_key=needs_key)
        alarm_command, alarm_url = _alarm_hook(environment)
        return cls(
            database_url=url,
            stripe_api_key=key,
            key_file=key_file,
            stripe_api_base=_stripe_api_base(environment),
            max_in_flight=_count(environment, "PAYOUT_MAX_IN_FLIGHT", default=cls.max_in_flight),
            reconcile_minutes=_count(
                environment, "PAYOUT_RECONCILE_MINUTES", default=cls.reconcile_minutes, least=0
            ),
            alarm_command=alarm_command,
            alarm_url=alarm_url,
            http=http_address(http) if http else None,
        )


def mode_of(key: str) -> str:
    """Return `live` or `test`, as the prefix of a key says, or `unknown`."""
    found = re.search(r"_(live|test)_", key)
    return found[1] if found else "unknown"


def is_livemode(key: str) -> bool | None:
    """Tell whether a key is one of live mode; None for a key whose prefix has no mode."""
    return {"live": True, "test": False}.get(mode_of(key))


def database_url(environment: Mapping[str, str]) -> str:
    """Return DATABASE_URL. Raises UserError if it is missing or malformed."""
    url, _ = _secret(environment, "DATABASE_URL")
    if not url:
        raise UserError(
            "DATABASE_URL is not set: set it to a libpq URI, for example "
            "postgresql://payouts@localhost:5432/shop, or set DATABASE_URL_FILE"
        )
    try:
        parameters = conninfo_to_dict(url)
    except (psycopg.ProgrammingError, ValueError):  # the message shows parts of the password
        raise UserError(MALFORMED_URL + _why_malformed(url)) from None
    if _is_misread(url, parameters):
        raise UserError(MALFORMED_URL + QUOTE_PASSWORD)
    hide(str(parameters.get("password", "")))
    return url


def _why_malformed(url: str) -> str:
    """Say which part libpq does not take, with no part of the URL that may be of a password."""
    scheme, separator, rest = url.partition("://")
    if url[0] in "'\"`":
        return "it stands in quotation marks; take them away"
    if separator and "=" not in scheme and scheme not in ("postgres", "postgresql"):
        return "a URI begins with postgresql:// and names no driver"
    if not separator and "=" not in url:
        return "a URI begins with postgresql://"
    authority, _, query = rest.partition("?")
    if "@" in authority and "@" not in query:  # else this may be of a password
        known = {option.keyword.decode() for option in Conninfo.get_defaults()}
        parts = (part for part in query.split("&") if part != "ssl=true")
        for name in (part.partition("=")[0] for part in parts):
            if name not in known and re.fullmatch("[A-Za-z_.]{2,32}", name):
                return f"libpq knows no parameter {name}; leave it out"
    return QUOTE_PASSWORD


def _is_misread(url: str, parameters: Mapping[str, object]) -> bool:
    """Tell whether libpq takes a part of a password for a host, port or name, and would show it."""
    ports = str(parameters.get("port", "")).split(",")
    if not all(re.fullmatch(r"[0-9]{0,5}", port) and int(port or 0) < 65536 for port in ports):
        return True
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("postgres", "postgresql"):
        return False
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    hosts = authority.rpartition("@")[2].split(",")
    return (
        rest.count("@") > 1
        or rest.count("@") != authority.count("@")
        or not all(re.fullmatch(r"(\[[^\]]*\]|[^:\[\]#]*)(:[0-9]{1,5})?", host) for host in hosts)
    )


def _stripe_api_key(environment: Mapping[str, str], *, needs_key: bool) -> tuple[str, str]:
    """Return the key, and the file that holds it."""
    key, file = _secret(environment, "STRIPE_API_KEY")
    if key or file:
        return _checked_key(key), file
    if needs_key:
        raise UserError(
            "set one of STRIPE_API_KEY and STRIPE_API_KEY_FILE: a secret or restricted key of the "
            "platform account (of test mode, to try it), or a file that holds it"
        )
    return "", ""


def key_in(path: str) -> str:
    """Return the Stripe key in a file. Raises UserError if there is none."""
    return _checked_key(_content("STRIPE_API_KEY_FILE", path))


def _checked_key(key: str) -> str:
    if not SECRET_KEY.fullmatch(key):
        raise UserError(
            "the Stripe key is not a secret or restricted key: those begin with sk_ or rk_; "
            "find it in Stripe's dashboard under Developers, API keys"
        )
    hide(key)
    return key


def _one_of(environment: Mapping[str, str], name: str, other: str) -> tuple[str, str]:
    """Return two settings, of which only one may be set."""
    value, instead = (environment.get(each, "").strip() for each in (name, other))
    if value and instead:
        raise UserError(f"set one of {name} and {other}, not both")
    return value, instead


def _secret(environment: Mapping[str, str], name: str) -> tuple[str, str]:
    """Return a secret, and the file that holds it if one does."""
    value, file = _one_of(environment, name, f"{name}_FILE")
    return (_content(f"{name}_FILE", file) if file else value), file


def _content(name: str, path: str) -> str:
    """Return the secret in the file that a setting names."""
    try:
        with Path(path).open("rb") as file:
            return file.read(LARGEST_FILE).decode("utf-8-sig").strip()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not text"
        # Only a path is shown: the setting may hold the secret itself by mistake.
        shown = f" ({path})" if re.match(r"[.~]{0,2}/", path) else ""
        raise UserError(f"{name}{shown} cannot be read: {reason}") from None


def _stripe_api_base(environment: Mapping[str, str]) -> str:
    base = environment.get("STRIPE_API_BASE", "").strip().rstrip("/") or STRIPE_API_BASE
    # A password would be shown with the address.
    if _is_safe(base) and not re.search("[@?#]", base):
        return base
    raise UserError(
        "STRIPE_API_BASE must be an https address without a user (plain http only on this "
        f"machine's loopback), for example {STRIPE_API_BASE}"
    )


def _alarm_hook(environment: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    command, url = _one_of(environment, "PAYOUT_ALARM_COMMAND", "PAYOUT_ALARM_URL")
    if url and not _is_safe(url):
        raise UserError(
            "PAYOUT_ALARM_URL must be an https address (plain http only on this machine's loopback)"
        )
    try:
        return tuple(shlex.split(command)), url
    except ValueError:  # the command may hold a secret
        raise UserError(
            "PAYOUT_ALARM_COMMAND is no command: a quotation mark is not closed"
        ) from None


def http_address(text: str) -> tuple[str, int]:
    """Return host and port of ``127.0.0.1:9464`` or ``[::1]:9464``. Raises UserError."""
    found = re.fullmatch(r"(?:\[([0-9a-fA-F:]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})", text)
    if not found or int(found[3]) > 65535:
        raise UserError("--http must be a host and a port, for example 127.0.0.1:9464")
    return found[1] or found[2], int(found[3])


def _is_safe(url: str) -> bool:
    """Say whether an address is encrypted, or of this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    if not host:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _count(environment: Mapping[str, str], name: str, *, default: int, least: int = 1) -> int:
    text = environment.get(name, "").strip() or str(default)
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) < least:
        raise UserError(f"{name} must be a whole number from {least} to 9999")
    return int(text)
