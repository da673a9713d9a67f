"""The checks of `payout-engine doctor`: the key, Stripe, clock and disk, and those of the database.

Without a key it makes all that need none.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg

from payout_engine.database import Database, connection_string
from payout_engine.errors import redact
from payout_engine.reconcile import READ_FAILURES
from payout_engine.rows import Check
from payout_engine.settings import KeyFile, Settings
from payout_engine.stripe_payout_adapter import AccountUnknown, StripePayoutAdapter

SECONDS_A_DAY: Final = 86_400
OLD_KEY_DAYS: Final = 365
LEAST_ROOM: Final = 0.1
LOOPBACK: Final = ("127.0.0.1", "::1")
# As payout.clock_differs has it.
CLOCKS_APART_SECONDS: Final = 300
ROTATION: Final = (
    "make a new key in Stripe's dashboard, replace the file that STRIPE_API_KEY_FILE names, and "
    "end the old key once doctor finds the new one in order: workers take it without a restart"
)
RESTRICTED: Final = (
    "a restricted key is enough: it may write and read transfers, read events, the balance and its "
    "own account"
)


async def examine(settings: Settings) -> list[Check]:
    """Return every check, those of the key and of Stripe first."""
    account_id, stripe_now, checks = None, None, _key(settings)
    if settings.stripe_api_key:
        async with StripePayoutAdapter(
            api_key=settings.stripe_api_key, api_base=settings.stripe_api_base
        ) as adapter:
            account_id, found = await _stripe(settings, adapter)
            stripe_now = adapter.stripe_now()
        checks += found
    machine = await inspect_machine(settings.database_url)
    checks += [_clock(machine, stripe_now), _disk(machine)]
    async with Database(settings.database_url) as database:
        rows: list[Check] = await database.call(
            "doctor",
            p_stripe_account_id=account_id,
            p_is_livemode=settings.is_livemode,
        )
    return checks + rows


def _key(settings: Settings) -> list[Check]:
    """Check the age and kind of the key, as far as they can be known."""
    check: Check = {"check_name": "Stripe key", "status": "ok", "detail": "", "hint": None}
    if not settings.stripe_api_key:
        return [check | {"detail": "none is set: Stripe is not asked"}]
    check["detail"] = f"{settings.key_mode} mode"
    kind = "restricted" if settings.stripe_api_key.startswith("rk_") else "secret"
    days = _age_in_days(settings.key_file)
    rotation: Check = {
        "check_name": "the key is rotated",
        "status": "ok",
        "detail": f"a {kind} key in "
        + ("the environment" if days is None else f"a file that was written {days} days ago"),
        "hint": ROTATION,
    }
    if days is not None and days > OLD_KEY_DAYS:
        rotation["status"] = "warning"
    elif kind == "secret" and settings.is_livemode:
        rotation |= {"status": "warning", "hint": f"{RESTRICTED}; {ROTATION}"}
    return [check, rotation]


def _age_in_days(key_file: KeyFile | None) -> int | None:
    if key_file is None:
        return None
    return int((time.time() - Path(key_file.path).stat().st_mtime) // SECONDS_A_DAY)


async def _stripe(
    settings: Settings, adapter: StripePayoutAdapter
) -> tuple[str | None, list[Check]]:
    """Return the account that the key belongs to, if Stripe says it, and its rights as checks."""
    answers: Check = {"check_name": "Stripe answers", "status": "ok", "detail": "", "hint": None}
    try:
        account_id = await adapter.account_id()
    except AccountUnknown as error:
        return None, [_failed(answers, error, "See STRIPE_API_KEY and STRIPE_API_BASE.")]
    answers["detail"] = f"account {account_id} at {settings.stripe_api_base}"
    rights = [
        await _right(
            "Stripe lists transfers",
            lambda: adapter.list_page("/v1/transfers", {}),
            "the newest can be compared with the books",
            "Nothing is claimed before Stripe's newest transfers can be compared: the key needs "
            "the right to read transfers.",
        ),
        await _right(
            "Stripe lists events",
            lambda: adapter.list_page("/v1/events", {}),
            "what changed at Stripe is seen soon",
            "Reversals and transfers made late are seen by the hourly comparison only: the key "
            "needs the right to read events.",
        ),
        await _right(
            "Stripe tells the balance",
            lambda: adapter.read("/v1/balance"),
            "what is available can be read",
            "Nothing depends on it today: the key should have the right to read the balance.",
            status="warning",
        ),
        await _right(
            "Stripe takes transfers",
            adapter.may_transfer,
            "an empty request was refused for being empty; nothing was moved",
            "Nothing can be paid: the key needs the right to write transfers.",
        ),
    ]
    return account_id, [answers, *rights]


async def _right(
    name: str,
    attempt: Callable[[], Awaitable[object]],
    detail: str,
    hint: str,
    *,
    status: str = "failure",
) -> Check:
    check: Check = {"check_name": name, "status": "ok", "detail": detail, "hint": hint}
    try:
        await attempt()
    except READ_FAILURES as error:
        return _failed(check, error, hint) | {"status": status}
    return check


def _failed(check: Check, error: Exception, hint: str) -> Check:
    told = redact(str(error)) or type(error).__name__
    return check | {"status": "failure", "detail": told, "hint": hint}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The clock of the server, and its disk, if it is this machine's."""

    now: datetime
    free_bytes: int | None = None
    disk_bytes: int | None = None


async def inspect_machine(database_url: str) -> Machine:
    """Connect, and return what the server's machine is like."""
    query = (
        "select clock_timestamp(), (select setting from pg_settings where name = 'data_directory')"
    )
    async with await psycopg.AsyncConnection.connect(connection_string(database_url)) as connection:
        is_here = connection.info.host.startswith("/") or connection.info.hostaddr in LOOPBACK
        [(now, directory)] = await (await connection.execute(query)).fetchall()
    if not is_here or directory is None or not Path(directory, "PG_VERSION").exists():
        return Machine(now=now)
    usage = shutil.disk_usage(directory)
    return Machine(now=now, free_bytes=usage.free, disk_bytes=usage.total)


def _clock(machine: Machine, stripe_now: datetime | None) -> Check:
    check: Check = {
        "check_name": "the clock is Stripe's",
        "status": "ok",
        "detail": "not compared",
        "hint": "set the server's clock: claims are refused while it is five minutes off",
    }
    if stripe_now is None:
        return check
    apart = abs((machine.now - stripe_now).total_seconds())
    check["detail"] = f"{apart:.0f} seconds apart"
    return check | {"status": "failure"} if apart > CLOCKS_APART_SECONDS else check


def _disk(machine: Machine) -> Check:
    check: Check = {
        "check_name": "the server's disk has room",
        "status": "ok",
        "detail": "not known from here: watch it where the server runs",
        "hint": "a full disk stops settlements: give it room, and see the log and its slots",
    }
    if machine.free_bytes is None or machine.disk_bytes is None:
        return check
    free, whole = machine.free_bytes, machine.disk_bytes
    check["detail"] = f"{free / 2**30:,.1f} of {whole / 2**30:,.1f} GB are free"
    return check | {"status": "warning"} if free < LEAST_ROOM * whole else check
