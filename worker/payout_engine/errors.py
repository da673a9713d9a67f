"""The errors that the database answers with, as exceptions: class SP, by its third character.

The third character says what the caller does about it; the whole list is `sql/error_codes.sql`.
"""

from __future__ import annotations

import re

import psycopg
import psycopg_pool

SECRETS = re.compile(r"\b(?:sk|rk|whsec)_\w+|(?<=:)[^:/@\s]+(?=@)|(?<=password=)\S+")


class QueueSchemaError(Exception):
    """The queue's schema is not one that the installed procrastinate works with."""


class NotReady(Exception):
    """The database is not prepared for what was asked; the message says what is to be done."""


class MigrationError(Exception):
    """The migrations cannot be applied here; the message says why and what is to be done."""


class PayoutError(Exception):
    """A function of ours refused the call; the message is primary message, detail and hint."""

    def __init__(self, error: psycopg.Error) -> None:
        parts = (error.diag.message_primary, error.diag.message_detail, error.diag.message_hint)
        super().__init__(redact(". ".join(part.rstrip(".") for part in parts if part)))
        self.sqlstate = error.sqlstate


class InvariantTouched(PayoutError):
    """SP1: an invariant or something frozen was touched: stop, and call a person."""


class WrongState(PayoutError):
    """SP2: the row is in another state than was thought: finish quietly."""


class BadArgument(PayoutError):
    """SP3: a bad argument: the caller's bug."""


class NotNow(PayoutError):
    """SP4: not now: come back later."""


BY_THIRD_CHARACTER: dict[str, type[PayoutError]] = {
    "1": InvariantTouched,
    "2": WrongState,
    "3": BadArgument,
    "4": NotNow,
}
# Lost connections, a server that stops or is full, and the losers of a lock or a deadline.
PASSING = ("08", "40001", "40P01", "53", "55P03", "57", "58", "25006")
# It ran into its statement_timeout or lock_timeout.
HELD_UP = ("57014", "55P03")
# The values themselves are refused; sending the same again cannot help.
DATA_REFUSED = ("21", "22", "23", "SP3")


def of(error: psycopg.Error) -> Exception:
    """Return the exception of this project for SQLSTATE class SP, else `error` itself."""
    state = error.sqlstate or ""
    kind = BY_THIRD_CHARACTER.get(state[2:3]) if state.startswith("SP") else None
    return kind(error) if kind else error


def is_passing(error: Exception) -> bool:
    """Say whether the same database call may succeed a moment later."""
    if isinstance(error, psycopg_pool.PoolClosed):
        return False
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return True  # the connection was lost, or none could be had
    return isinstance(error, NotNow) or _state(error).startswith(PASSING)


def is_held_up(error: Exception) -> bool:
    """Say whether the call waited for another transaction, or worked, for longer than it may."""
    return _state(error) in HELD_UP


def is_data_refused(error: Exception) -> bool:
    """Say whether the database (or the encoder before it) refused the values of the call."""
    kinds = (psycopg.DataError, TypeError, ValueError)
    return isinstance(error, kinds) or _state(error).startswith(DATA_REFUSED)


def tell(error: BaseException) -> str:
    """Return an error and its cause in one line, without secrets."""
    cause = f", because of {error.__cause__!r}" if error.__cause__ else ""
    return redact(" ".join(f"{error!r}{cause}".split()))


def redact(text: str) -> str:
    """Return `text` without Stripe keys and database passwords."""
    return SECRETS.sub("***", text)


def _state(error: Exception) -> str:
    return getattr(error, "sqlstate", None) or ""
