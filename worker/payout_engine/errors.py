"""The errors of the database as exceptions: SQLSTATE class SP, and which others may pass.

The third character tells the caller how to react; `sql/error_codes.sql` lists all codes.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import psycopg
import psycopg_pool

# Stripe shows the end of a key that it refuses: sk_test_****1234.
SECRETS = re.compile(
    r"\b(?:sk|rk|whsec)_[\w*]+|\bct_[0-9a-f]{8,}|(?<=:)[^:/@\s]+(?=@)"
    r"|(?<=password=)(?:'(?:[^'\\]|\\.)*'?|\S+)"
)
# Shorter ones would strike out words of ours.
SHORTEST_SECRET = 6
_hidden: set[str] = set()


class UserError(Exception):
    """A person has to change something, which the message names; no repetition helps."""


class PayoutError(Exception):
    """A function of ours refused the call; the message is primary message, detail and hint."""

    def __init__(self, error: psycopg.Error) -> None:
        super().__init__(redact(_joined(error, error.diag.message_hint)))
        self.sqlstate = error.sqlstate


class NotNow(PayoutError):
    """SP4: not now: come back later."""


class Unsafe(NotNow):
    """SP401: not while the server is unsafe, or its clock is not Stripe's, as we named that."""


class NotCompared(NotNow):
    """SP405: not before Stripe's newest transfers are compared with the books: do so, then call."""


class OtherRelease(NotNow):
    """SP406: the schema went on to a later release than this worker's: the worker ends."""


BY_CODE: dict[str, type[PayoutError]] = {
    "SP401": Unsafe,
    "SP405": NotCompared,
    "SP406": OtherRelease,
}
# Lost connections, a server that stops or is full, deadlocks, timeouts and lock conflicts.
READ_ONLY = "25006"
TRANSIENT = ("08", "40001", "40P01", "53", "55P03", "57", "58", READ_ONLY)
# statement_timeout and lock_timeout.
TIMEOUT = ("57014", "55P03")
# The values themselves are refused; sending them again cannot help.
DATA_REFUSED = ("21", "22", "23", "SP3")


def of(error: psycopg.Error) -> Exception:
    """Return the exception of this project for SQLSTATE class SP, else `error` itself."""
    state = _state(error)
    if not state.startswith("SP"):
        return error
    kind = NotNow if state.startswith("SP4") else PayoutError
    return BY_CODE.get(state, kind)(error)


def is_transient(error: Exception) -> bool:
    """Say whether the same database call may succeed a moment later."""
    if isinstance(error, psycopg_pool.PoolClosed):
        return False
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:
        return True  # the connection was lost, or none could be had
    return isinstance(error, NotNow) or _state(error).startswith(TRANSIENT)


def is_lost(error: Exception) -> bool:
    """Say whether the connection was lost: no other one of the pool can be trusted either."""
    if not isinstance(error, psycopg.OperationalError):
        return False
    if isinstance(error, psycopg_pool.PoolTimeout | psycopg_pool.PoolClosed):
        return False  # each connection may be busy
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def is_timeout(error: Exception) -> bool:
    """Say whether the call waited for a lock, or ran, for longer than its session allows."""
    return _state(error) in TIMEOUT


def is_data_refused(error: Exception) -> bool:
    """Say whether the database (or the encoder before it) refused the values of the call."""
    kinds = (psycopg.DataError, TypeError, ValueError)
    return isinstance(error, kinds) or _state(error).startswith(DATA_REFUSED)


def one_line(error: BaseException) -> str:
    """Return an error and its cause in one line, without secrets.

    Of an error of the server without its CONTEXT, which may show the values of the call.
    """
    told = _joined(error) if isinstance(error, psycopg.Error) else ""
    told = f"{type(error).__name__}({told!r})" if told else repr(error)
    cause = f", because of {one_line(error.__cause__)}" if error.__cause__ else ""
    return redact(" ".join(f"{told}{cause}".split()))


def sentence(error: BaseException) -> str:
    """Return an error for a person, in one line, without secrets and, as above, CONTEXT."""
    told = _joined(error, error.diag.message_hint) if isinstance(error, psycopg.Error) else ""
    told = told or str(error) or type(error).__name__
    if _state(error) == READ_ONLY:
        told += ": payout-engine doctor says why the database takes no writes"
    return redact(" ".join(told.split()))


def hide(secret: str) -> None:
    """Strike a secret out of every text that is shown from now on, whatever it looks like."""
    _hidden.update(
        form for form in (secret, quote(secret, safe="")) if len(form) >= SHORTEST_SECRET
    )


def redact(text: str) -> str:
    """Return `text` without Stripe keys, claim tokens and database passwords."""
    for secret in sorted(_hidden, key=len, reverse=True):
        text = text.replace(secret, "***")
    return SECRETS.sub("***", text)


def _joined(error: psycopg.Error, *more: str | None) -> str:
    """Return the message and detail that the server sent, if it sent any."""
    parts = (error.diag.message_primary, error.diag.message_detail, *more)
    return ". ".join(part.rstrip(".") for part in parts if part)


def _state(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""
