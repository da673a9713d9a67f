"""No outcome is passed by, however late another one commits, and none comes twice.

A transaction that drew a lower id may commit after one that drew a higher id. First each such case
is made by hand; then many writers and readers run at once, with pauses in the worst places.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from typing import Final

import psycopg
import pytest

from tests.application.reading import drawn, read
from tests.conftest import ROOT, Connection
from tests.engine import Engine
from tests.mutants import Edit, mutant
from tests.schema.refusals import wait_until_blocked

WRITE: Final = (
    "insert into payout.outcomes (payout_transfer_id, status) "
    "select payout_transfer_id, 'sending' from payout.payout_transfers limit %s"
)
WRITERS: Final = 6
READERS: Final = 3
TRANSACTIONS: Final = 40
READER: Final = "procedures/settle/outcomes_since.sql"
WRITER: Final = "procedures/transfers/tg_outcomes__announce.sql"
DRAWN: Final = "pg_sequence_last_value('payout.outcomes_outcome_id_seq'::regclass)"
PAUSE: Final = "pg_sleep(0.004 * random())"

UNANNOUNCED: Final = "alter table payout.outcomes disable trigger _100_announce"


def ids(connection: Connection, after: int = 0) -> list[int]:
    return [outcome.outcome_id for outcome in read(connection, after)]


@pytest.fixture
def writers(
    shared_engine: Engine, connect: Callable[..., Connection]
) -> tuple[Connection, Connection]:
    """Two workers, while two transfers are due."""
    shared_engine.settle("seller_1", "seller_2")
    return connect("payout_worker"), connect("payout_worker", member=2)


@mutant("outcomes that nothing announces", sql=UNANNOUNCED)
@mutant(
    "a reader that goes to the end",
    "outcomes_since",
    "where w.key < -8000000000000000000",
    "where false",
)
@mutant(
    "an announcement of a later id",
    "tg_outcomes__announce",
    "- 9000000000000000000;",
    "- 8999999999999999998;",
)
def test_an_earlier_row_that_commits_later_is_waited_for(
    shared_engine: Engine, writers: tuple[Connection, Connection]
) -> None:
    first, second = writers
    with first.transaction():
        assert len(shared_engine.claim(1, connection=first)) == 1
        assert len(shared_engine.claim(1, connection=second)) == 1
        assert ids(shared_engine.app) == []
    assert ids(shared_engine.app) == [1, 2]


def test_a_row_before_it_does_not_wait(
    shared_engine: Engine, writers: tuple[Connection, Connection]
) -> None:
    first, second = writers
    shared_engine.claim(1, connection=second)
    with first.transaction():
        shared_engine.claim(1, connection=first)
        assert ids(shared_engine.app) == [1]
    assert ids(shared_engine.app, 1) == [2]


def test_a_row_that_is_undone_is_not_waited_for(
    shared_engine: Engine, writers: tuple[Connection, Connection]
) -> None:
    first, second = writers
    with first.transaction(force_rollback=True):
        shared_engine.claim(1, connection=first)
        shared_engine.claim(1, connection=second)
        assert ids(shared_engine.app) == []
    assert ids(shared_engine.app) == [2]


def test_a_lock_that_went_with_a_savepoint_is_taken_again(
    shared_engine: Engine, writers: tuple[Connection, Connection]
) -> None:
    first, second = writers
    with first.transaction():
        with first.transaction(force_rollback=True):
            shared_engine.claim(1, connection=first)
        shared_engine.claim(1, connection=first)
        shared_engine.claim(1, connection=second)
        assert ids(shared_engine.app) == []
    assert ids(shared_engine.app) == [2, 3]


def test_a_transaction_holds_one_lock_however_much_it_writes(
    shared_engine: Engine, writers: tuple[Connection, Connection]
) -> None:
    with shared_engine.db.transaction(force_rollback=True):
        for _ in range(50):
            shared_engine.db.execute(WRITE, [1])
        ((count,),) = shared_engine.db.execute(
            "select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()"
        ).fetchall()
        assert count == 1


def test_a_transaction_reads_its_own_rows(
    shared_engine: Engine, writers: tuple[Connection, Connection]
) -> None:
    with shared_engine.db.transaction(force_rollback=True):
        shared_engine.db.execute(WRITE, [2])
        assert ids(shared_engine.db) == [1, 2]


@mutant(
    "a prepared transaction is forgotten",
    "outcomes_since",
    "l.pid is distinct from pg_backend_pid()",
    "l.pid <> pg_backend_pid()",
)
def test_a_prepared_transaction_is_waited_for(
    shared_engine: Engine, writers: tuple[Connection, Connection]
) -> None:
    first, second = writers
    first.execute("begin")
    shared_engine.claim(1, connection=first)
    first.execute("prepare transaction 'of the first'")
    try:
        shared_engine.claim(1, connection=second)
        assert ids(shared_engine.app) == []
    finally:
        shared_engine.db.execute("commit prepared 'of the first'")
    assert ids(shared_engine.app) == [1, 2]


def test_a_transaction_without_outcomes_holds_nothing_up(
    shared_engine: Engine,
    writers: tuple[Connection, Connection],
    connect: Callable[..., Connection],
) -> None:
    """Not even the application's, however many settlements it completes."""
    application = Engine(shared_engine.db, log_in=lambda _: connect("payout_app", member=2))
    application.app.execute("begin")
    application.settle("seller_3", settlement_id="set_2")
    shared_engine.db.execute("create table public.other (id integer)")
    other = connect()
    with other.transaction():
        other.execute("insert into public.other values (1)")
        shared_engine.claim(1)
        assert ids(shared_engine.app) == [1]
    application.app.execute("commit")


@mutant(
    "a stranger's lock counts",
    "outcomes_since",
    "having bool_or(l.relation = 'payout.outcomes'::regclass\n"
    "                and l.mode = 'RowExclusiveLock')",
    "",
)
def test_locks_of_others_hold_nothing_up(
    shared_engine: Engine,
    writers: tuple[Connection, Connection],
    connect: Callable[..., Connection],
) -> None:
    stranger = connect("payout_auditor")
    for key in ("0", "1", "-1", "0, 1", "-9000000000000000000", "-9000000000000000001"):
        stranger.execute(f"select pg_advisory_lock_shared({key})")
    shared_engine.claim(1)
    assert ids(shared_engine.app) == [1]


@mutant(
    "a claim that waits for a stranger",
    "tg_outcomes__announce",
    "while not pg_try_advisory_xact_lock_shared(v_key) loop\n"
    "        v_key := v_key - 1;\n    end loop;",
    "perform pg_advisory_xact_lock_shared(v_key);",
)
def test_a_writer_waits_for_no_lock_of_others(
    shared_engine: Engine,
    writers: tuple[Connection, Connection],
    connect: Callable[..., Connection],
) -> None:
    first, second = writers
    stranger = connect("payout_auditor")
    for last in range(-3, 3):
        stranger.execute(f"select pg_advisory_lock({last - 9_000_000_000_000_000_000})")
    with first.transaction():
        first.execute("set local lock_timeout = '5s'")
        with waiting_fails():
            shared_engine.claim(1, connection=first)
        shared_engine.claim(1, connection=second)
        assert ids(shared_engine.app) == []
    assert ids(shared_engine.app) == [1, 2]


@mutant(
    "the last id is read after the locks",
    edits=(
        Edit("outcomes_since", "v_settled := least(v_drawn, (", "v_settled := least(null, ("),
        Edit(
            "outcomes_since",
            "    return query",
            f"    v_settled := least(v_settled, coalesce({DRAWN}, 0));\n    return query",
        ),
    ),
    at="after_the_locks",
)
@pytest.mark.parametrize(
    "place",
    [
        pytest.param("(?=    -- A writer has a lock)", id="before_the_locks"),
        pytest.param(r"(?<=< -8000000000000000000\)\);\n)", id="after_the_locks"),
    ],
)
def test_rows_that_come_while_it_reads_are_left_to_the_next_read(
    shared_engine: Engine,
    writers: tuple[Connection, Connection],
    background: ThreadPoolExecutor,
    place: str,
) -> None:
    first, second = writers
    db, app = shared_engine.db, shared_engine.app
    ((reader,),) = db.execute(
        "select pg_get_functiondef(oid) from pg_proc where proname = 'outcomes_since'"
    ).fetchall()
    pausing, places = re.subn(place, "    perform pg_advisory_xact_lock(1);\n", reader)
    assert places == 1
    db.execute(pausing.encode())
    db.execute("select pg_advisory_lock(1)")
    reading = background.submit(ids, app)
    wait_until_blocked(db, app, by=reading)
    with first.transaction():
        shared_engine.claim(1, connection=first)
        shared_engine.claim(1, connection=second)
        db.execute("select pg_advisory_unlock(1)")
        assert reading.result() == []
    assert ids(app) == [1, 2]


@contextmanager
def waiting_fails() -> Iterator[None]:
    """Fail where a statement has waited for a lock too long."""
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        pytest.fail(str(error))


def with_pauses(path: str, *places: tuple[str, str]) -> str:
    """Return a function with a pause before each of these places."""
    text = (ROOT / path).read_text(encoding="utf-8")
    for old, new in places:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


# A pause after each step of the reader, and between the two steps of the announcement.
SLOW: Final = (
    with_pauses(
        READER,
        ("    v_settled := least(", f"    perform {PAUSE};\n    v_settled := least("),
        ("    return query", f"    perform {PAUSE};\n    return query"),
    ),
    with_pauses(
        WRITER,
        (
            DRAWN,
            f"(select max(d.drawn) from (select {DRAWN} as drawn, {PAUSE} as p) as d "
            "where d.p is not null)",
        ),
    ),
)


@contextmanager
def reading(
    connections: list[Connection], background: ThreadPoolExecutor
) -> Iterator[list[list[int]]]:
    """Let each connection read from its cursor on, until all that was committed is read."""
    found: list[list[int]] = [[] for _ in connections]
    is_over = threading.Event()

    def follow(connection: Connection, mine: list[int]) -> None:
        while True:
            was_over = is_over.is_set()
            page = [
                outcome.outcome_id
                for outcome in read(
                    connection, mine[-1] if mine else 0, random.choice((1, 7, 1000))
                )
            ]
            mine += page
            if was_over and not page:
                return

    followers = [
        background.submit(follow, connection, mine)
        for connection, mine in zip(connections, found, strict=True)
    ]
    try:
        yield found
    finally:
        is_over.set()
        for follower in followers:
            follower.result()


def write_at_random(connection: Connection, seed: int) -> None:
    """Write outcomes in transactions that last, with savepoints, and of which some are undone."""
    chance = random.Random(seed)
    for _ in range(TRANSACTIONS):
        with connection.transaction(force_rollback=chance.random() < 0.3):
            for _ in range(chance.randint(1, 3)):
                with connection.transaction(force_rollback=chance.random() < 0.2):
                    connection.execute(WRITE, [chance.randint(1, 3)])
                time.sleep(chance.choice((0, 0, 0.001, 0.02)))
        time.sleep(chance.choice((0, 0.002)))


@pytest.mark.long
@mutant("many outcomes that nothing announces", sql=UNANNOUNCED)
@mutant("a reader that knows of no lock", sql=SLOW[0].replace("l.objsubid = 1", "false"))
@pytest.mark.parametrize("changes", [(), SLOW], ids=["as_it_is", "with_pauses"])
def test_every_reader_gets_every_committed_row_once_and_in_order(
    shared_engine: Engine,
    dsn: Callable[..., str],
    background: ThreadPoolExecutor,
    changes: tuple[str, ...],
    broken_by: object,
) -> None:
    shared_engine.settle("seller_1", "seller_2", "seller_3")
    for change in changes if broken_by is None else changes[1:]:
        shared_engine.db.execute(change.encode())
    with ExitStack() as stack:
        readers, writers = (
            [stack.enter_context(psycopg.connect(dsn(role), autocommit=True)) for _ in range(count)]
            for role, count in (("payout_app", READERS), (None, WRITERS))
        )
        found = stack.enter_context(reading(readers, background))
        seeds = random.sample(range(1_000_000), WRITERS)
        for writing in [*map(background.submit, [write_at_random] * WRITERS, writers, seeds)]:
            writing.result()
    committed = [
        outcome_id
        for (outcome_id,) in shared_engine.db.execute(
            "select outcome_id from payout.outcomes order by outcome_id"
        )
    ]
    assert len(committed) < drawn(shared_engine.db)
    assert any(later - earlier > 1 for earlier, later in pairwise(committed))
    assert found == [committed] * READERS
    # They stand for no change of a transfer, as far as the books know.
    shared_engine.db.execute(
        "insert into payout.outcomes (payout_transfer_id, status) "
        "select payout_transfer_id, 'scheduled' from payout.payout_transfers"
    )
