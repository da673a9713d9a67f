"""The checks of `payout-engine doctor`: the key, Stripe, clock and disk, and those of the database.

Without a key it makes all that need none.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg

from payout_engine.database import Database, connection_string
from payout_engine.errors import redact
from payout_engine.reconcile import READ_FAILURES
from payout_engine.rows import Check
from payout_engine.settings import Settings, is_livemode, mode_of
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
    now, usage = await inspect_machine(settings.database_url)
    checks += [_clock(now, stripe_now), _disk(usage)]
    async with Database(settings.database_url) as database:
        rows: list[Check] = await database.call(
            "doctor",
            p_stripe_account_id=account_id,
            p_is_livemode=is_livemode(settings.stripe_api_key),
        )
    return checks + rows


def _check(name: str, detail: str, hint: str | None = None, status: str = "ok") -> Check:
    return {"check_name": name, "status": status, "detail": detail, "hint": hint}


def _key(settings: Settings) -> list[Check]:
    """Check the age and kind of the key, as far as they can be known."""
    key = settings.stripe_api_key
    if not key:
        return [_check("Stripe key", "none is set: Stripe is not asked")]
    kind = "restricted" if key.startswith("rk_") else "secret"
    days, place, hint, status = 0, "the environment", ROTATION, "ok"
    if settings.key_file:
        age_seconds = time.time() - Path(settings.key_file).stat().st_mtime
        days = int(age_seconds // SECONDS_A_DAY)
        place = f"a file that was written {days} days ago"
    if days > OLD_KEY_DAYS:
        status = "warning"
    elif kind == "secret" and is_livemode(key):
        status, hint = "warning", f"{RESTRICTED}; {ROTATION}"
    return [
        _check("Stripe key", f"{mode_of(key)} mode"),
        _check("the key is rotated", f"a {kind} key in {place}", hint, status),
    ]


async def _stripe(
    settings: Settings, adapter: StripePayoutAdapter
) -> tuple[str | None, list[Check]]:
    """Return the account that the key belongs to, if Stripe says it, and its rights as checks."""
    name = "Stripe answers"
    try:
        account_id = await adapter.account_id()
    except AccountUnknown as error:
        return None, [
            _check(name, redact(str(error)), "See STRIPE_API_KEY and STRIPE_API_BASE.", "failure")
        ]
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
    answers = _check(name, f"account {account_id} at {settings.stripe_api_base}")
    return account_id, [answers, *rights]


async def _right(
    name: str,
    attempt: Callable[[], Awaitable[object]],
    detail: str,
    hint: str,
    *,
    status: str = "failure",
) -> Check:
    try:
        await attempt()
    except READ_FAILURES as error:
        return _check(name, redact(str(error)) or type(error).__name__, hint, status)
    return _check(name, detail, hint)


async def inspect_machine(database_url: str) -> tuple[datetime, tuple[int, int] | None]:
    """Return the server's time, and free and all bytes of its disk, if that is this machine's."""
    query = (
        "select clock_timestamp(), (select setting from pg_settings where name = 'data_directory')"
    )
    async with await psycopg.AsyncConnection.connect(connection_string(database_url)) as connection:
        is_here = connection.info.host.startswith("/") or connection.info.hostaddr in LOOPBACK
        [(now, directory)] = await (await connection.execute(query)).fetchall()
    if not is_here or directory is None or not Path(directory, "PG_VERSION").exists():
        return now, None
    usage = shutil.disk_usage(directory)
    return now, (usage.free, usage.total)


def _clock(now: datetime, stripe_now: datetime | None) -> Check:
    name = "the clock is Stripe's"
    hint = "set the server's clock: claims are refused while it is five minutes off"
    if stripe_now is None:
        return _check(name, "not compared", hint)
    apart = abs((now - stripe_now).total_seconds())
    status = "failure" if apart > CLOCKS_APART_SECONDS else "ok"
    return _check(name, f"{apart:.0f} seconds apart", hint, status)


def _disk(usage: tuple[int, int] | None) -> Check:
    name = "the server's disk has room"
    hint = "a full disk stops settlements: give it room, and see the log and its slots"
    if usage is None:
        return _check(name, "not known from here: watch it where the server runs", hint)
    free, whole = usage
    status = "warning" if free < LEAST_ROOM * whole else "ok"
    told = f"{free / 2**30:,.1f} of {whole / 2**30:,.1f} GB are free"
    return _check(name, told, hint, status)
