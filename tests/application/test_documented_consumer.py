"""The consumer that docs/application.md shows does all that the document says of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest

from tests.conftest import ROOT, Connection, login_name
from tests.engine import Engine, success

DOCUMENT: Final = (ROOT / "docs/application.md").read_text(encoding="utf-8")
PATIENCE_SECONDS: Final = 60
REFUSING: Final = {"decline", "decline_until_funded", "absent"}


class Stop(Exception):
    """The consumer is over."""


def block(name: str) -> str:
    """Return the code between two markers of the document."""
    found = re.search(rf"<!-- {name} -->\n```\w+\n(.*?)```\n<!-- end of {name} -->", DOCUMENT, re.S)
    assert found is not None, name
    return found[1]


@pytest.fixture
def application(db: Connection, connect: Callable[..., Connection]) -> Connection:
    """The application's login, with a cursor as the document makes it, and a table of its own."""
    login = login_name("payout_app")
    db.execute(
        f"create schema mine authorization {login}; alter role {login} set search_path = mine"
    )
    application = connect("payout_app")
    application.execute(block("cursor").encode())
    application.execute(
        "create table handled (number bigint generated always as identity, payee text, status text)"
    )
    return application


@pytest.fixture
def consume(
    application: Connection, dsn: Callable[..., str], background: ThreadPoolExecutor
) -> Callable[[int], Future[None]]:
    """Start the document's consumer; it dies with so many outcomes, only notifications wake it."""
    code = block("consumer")
    assert code.count("timeout=5") == 1
    names: dict[str, Any] = {}
    exec(code.replace("timeout=5", f"timeout={PATIENCE_SECONDS * 2}"), names)

    def start(most: int) -> Future[None]:
        left = most

        def handle(db: Connection, outcome: tuple[Any, ...]) -> None:
            nonlocal left
            db.execute(
                "insert into handled (payee, status) values (%s, %s)", [outcome[2], outcome[6]]
            )
            left -= 1
            if left == 0:
                raise Stop

        return background.submit(names["consume"], dsn("payout_app"), handle)

    return start


def handled(application: Connection) -> list[tuple[Any, ...]]:
    return application.execute("select payee, status from handled order by number").fetchall()


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so; fail when it takes too long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, "it never was so"
        time.sleep(0.01)


def test_it_handles_each_outcome_once_and_is_woken(
    shared_engine: Engine, application: Connection, consume: Callable[[int], Future[None]]
) -> None:
    engine = shared_engine
    # It dies in the third outcome, and takes back the two before with it.
    engine.settle("seller_1", "seller_2", "seller_3")
    first, second, third = engine.claim()
    dying = consume(3)
    with pytest.raises(Stop):
        dying.result(PATIENCE_SECONDS)
    assert handled(application) == []

    living = consume(6)
    wait_until(lambda: len(handled(application)) == 3)
    # It waits: the next thing that it gets is a notification.
    for number, claim in enumerate((first, second), start=1):
        wait_until(lambda: is_awaited(engine))
        engine.report(success(claim, stripe_transfer_id=f"tr_{number}"))
        wait_until(lambda told=3 + number: len(handled(application)) == told)
    wait_until(lambda: is_awaited(engine))
    engine.report(success(third, stripe_transfer_id="tr_3"))
    with pytest.raises(Stop):
        living.result(PATIENCE_SECONDS)
    # The last one was not committed: whoever comes next handles it.
    assert handled(application) == [
        *((f"seller_{number}", "sending") for number in (1, 2, 3)),
        ("seller_1", "paid"),
        ("seller_2", "paid"),
    ]
    assert application.execute("select outcome_id from payout_cursor").fetchall() == [(5,)]


def is_awaited(engine: Engine) -> bool:
    """Tell whether the application has read all, and waits in its connection."""
    ((count,),) = engine.db.execute(
        "select count(*) from pg_stat_activity where datname = current_database() "
        "and state = 'idle' and query = 'COMMIT' and usename = %s "
        "and pg_sequence_last_value('payout.awaited_outcomes'::regclass) is not null",
        [login_name("payout_app")],
    ).fetchall()
    return bool(count)


def test_each_status_of_the_document_is_one_and_all_are_there(db: Connection) -> None:
    ((rule,),) = db.execute(
        "select pg_get_constraintdef(oid) from pg_constraint where conname = 'status_is_known' "
        "and contypid = 'payout.payout_status'::regtype"
    ).fetchall()
    table = DOCUMENT.partition("## Status")[2].partition("A transfer that may be")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.M) == re.findall(r"'(\w+)'", rule)


def test_each_reason_of_a_failure_is_in_the_document(db: Connection) -> None:
    found = dict(
        db.execute(
            "select reason, reaction = 'absent' or bool_and(awaits is not null) "
            "from payout.stripe_error_rules where reaction = any (%s) group by reason, reaction",
            [list(REFUSING)],
        ).fetchall()
    )
    rows = re.findall(r"^\| `failed` \| (.*?) \| (.*) \|$", DOCUMENT, re.M)
    shown = {
        reason: "tried again by itself" in told
        for reasons, told in rows
        for reason in re.findall(r"`(\w+)`", reasons)
    }
    others = ("row_contradicts_facts", "keys_used_up_", "given_up_by_operators")
    assert shown == found | dict.fromkeys(others, False)


def test_the_reasons_of_other_ends_are_in_the_document() -> None:
    for status, reason in (
        ("waiting_for_account", "awaiting_account"),
        ("cancelled", "cancelled_by_operator"),
        ("settled_outside", "paid_in_another_way"),
    ):
        assert f"\n| `{status}` | `{reason}` | " in DOCUMENT


def test_psycopg_is_all_that_it_needs() -> None:
    assert re.findall(r"^(?:import|from) (\w+)", block("consumer"), re.M) == [psycopg.__name__]
