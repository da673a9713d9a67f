"""Ten settlement_complete events at once, over real connections, make one job with its transfers.

The ritual runs its rounds first and then checks the rows of all rounds together.
Its randomness is seeded: `PAYOUT_TEST_SEED` repeats a run as far as the operating system allows.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Barrier, BrokenBarrierError
from typing import Any, Final, TypeAlias

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.types.json import Jsonb

from tests.conftest import PASSWORD, Connection, Server, connect_to_clone, login_name
from tests.settle.marketplace import (
    Line,
    complete,
    insert_settlement,
    jobs,
    line,
    register,
)

EVENTS_PER_ROUND: Final = 10
# How many of the ten roll back, in one round after the other.
ROLLING_BACK: Final = (0, 3, 3, EVENTS_PER_ROUND)
PAYEES: Final = ("seller_1", "seller_2", "seller_3")
CURRENCIES: Final = ("usd", "eur", "jpy")
SOURCES: Final = (None, None, "ch_1")

# The refusal of a plain insert of a settlement that exists: no bug of the application.
TOLD_BEFORE: Final = ("settlements_pkey", "settlement_lines_pkey")

Event: TypeAlias = Callable[[Connection, "Settlement"], None]


@dataclass(frozen=True, kw_only=True)
class Settlement:
    """The settlement that every event of a round records."""

    settlement_id: str
    currency: str
    lines: list[Line]

    @property
    def owed(self) -> dict[tuple[str, str | None], int]:
        """The amount of each transfer that has to come of it."""
        owed: defaultdict[tuple[str, str | None], int] = defaultdict(int)
        for content in self.lines:
            owed[content["payee_id"], content.get("source_transaction")] += content["amount_minor"]
        return dict(owed)


def insert_before_its_lines(app: Connection, settlement: Settlement) -> None:
    insert_settlement(app, settlement.settlement_id, settlement.lines, currency=settlement.currency)


def insert_in_one_statement(app: Connection, settlement: Settlement) -> None:
    app.execute(
        "with line as (insert into payout.settlement_lines "
        "(settlement_id, line_id, payee_id, amount_minor, source_transaction) "
        "select %(id)s, l.line_id, l.payee_id, l.amount_minor, l.source_transaction "
        "from jsonb_to_recordset(%(lines)s) as l (line_id text, payee_id text, "
        "amount_minor bigint, source_transaction text)) "
        "insert into payout.settlements (settlement_id, currency, total_minor, state) "
        "values (%(id)s, %(currency)s, %(total)s, 'complete')",
        {
            "id": settlement.settlement_id,
            "currency": settlement.currency,
            "lines": Jsonb(settlement.lines),
            "total": sum(content["amount_minor"] for content in settlement.lines),
        },
    )


def update_to_complete(app: Connection, settlement: Settlement) -> None:
    app.execute(
        "update payout.settlements set state = 'complete' where settlement_id = %s",
        [settlement.settlement_id],
    )


def update_if_pending(app: Connection, settlement: Settlement) -> None:
    app.execute(
        "update payout.settlements set state = 'complete' "
        "where settlement_id = %s and state = 'pending'",
        [settlement.settlement_id],
    )


def upsert_as_complete(app: Connection, settlement: Settlement) -> None:
    app.execute(
        "insert into payout.settlements (settlement_id, currency, total_minor, state) "
        "values (%s, %s, %s, 'complete') "
        "on conflict (settlement_id) do update set state = excluded.state",
        [
            settlement.settlement_id,
            settlement.currency,
            sum(content["amount_minor"] for content in settlement.lines),
        ],
    )


def call(app: Connection, settlement: Settlement) -> None:
    complete(app, settlement.settlement_id, settlement.lines, currency=settlement.currency)


@dataclass(frozen=True, kw_only=True)
class Form:
    """The way in which the events of a round record their settlement, and for how many rounds."""

    events: Sequence[Event]
    rounds: int
    is_pending_before: bool = False
    # A session that writes lines first and one that writes the settlement first may deadlock.
    try_again: tuple[type[psycopg.Error], ...] = ()


FORMS: Final = {
    "as inserts before the lines": Form(events=[insert_before_its_lines], rounds=175),
    "as single statements": Form(events=[insert_in_one_statement], rounds=175),
    "as updates": Form(
        events=[update_to_complete, update_if_pending, upsert_as_complete],
        rounds=200,
        is_pending_before=True,
    ),
    "as calls": Form(events=[call], rounds=200),
    "as inserts and calls": Form(events=[insert_before_its_lines, call], rounds=100),
    "as inserts, statements and calls": Form(
        events=[insert_before_its_lines, insert_in_one_statement, call],
        rounds=25,
        try_again=(errors.DeadlockDetected,),
    ),
    "as updates and calls": Form(
        events=[update_to_complete, upsert_as_complete, call], rounds=125, is_pending_before=True
    ),
}


@dataclass(frozen=True, kw_only=True)
class Round:
    """One settlement, and the act of each of the ten events."""

    settlement: Settlement
    events: list[Event]
    rolls_back: list[bool]


def plan(form: Form, seed: int, *, first: int, rounds: int) -> list[Round]:
    """Draw the settlements of a run and their events, numbered from the `first`."""
    chance = random.Random(seed)
    return [
        Round(
            settlement=Settlement(
                settlement_id=f"set_{first + number:04}",
                currency=chance.choice(CURRENCIES),
                lines=[
                    line(
                        str(position),
                        chance.choice(PAYEES),
                        chance.randint(1, 10_000),
                        source_transaction=chance.choice(SOURCES),
                    )
                    for position in range(chance.randint(1, 4))
                ],
            ),
            events=chance.choices(form.events, k=EVENTS_PER_ROUND),
            rolls_back=draw_rollbacks(chance, ROLLING_BACK[number % len(ROLLING_BACK)]),
        )
        for number in range(rounds)
    ]


def draw_rollbacks(chance: random.Random, how_many: int) -> list[bool]:
    chosen = chance.sample(range(EVENTS_PER_ROUND), k=how_many)
    return [number in chosen for number in range(EVENTS_PER_ROUND)]


def happens(
    app: Connection,
    event: Event,
    settlement: Settlement,
    *,
    rolls_back: bool,
    try_again: tuple[type[psycopg.Error], ...],
) -> bool:
    """Let an event happen, again where the application has to; return whether it was committed."""
    while True:
        try:
            with app.transaction(force_rollback=rolls_back):
                event(app, settlement)
                if rolls_back:
                    # The more work there is to undo, the better.
                    app.execute("set constraints payout._900_schedule_payout_job immediate")
        except try_again:
            continue
        except errors.UniqueViolation as error:
            if event is call or error.diag.constraint_name not in TOLD_BEFORE:
                raise
            return False
        return not rolls_back


def run(
    connections: Sequence[Connection],
    rounds: Sequence[Round],
    *,
    try_again: tuple[type[psycopg.Error], ...],
) -> set[str]:
    """Let the events of each round happen at once; return the settlements that were committed."""
    barrier = Barrier(len(connections), timeout=60)

    def take_part(number: int) -> set[str]:
        committed = set()
        try:
            for current in rounds:
                barrier.wait()
                if happens(
                    connections[number],
                    current.events[number],
                    current.settlement,
                    rolls_back=current.rolls_back[number],
                    try_again=try_again,
                ):
                    committed.add(current.settlement.settlement_id)
        except BrokenBarrierError:
            pass
        except BaseException:
            barrier.abort()
            raise
        return committed

    with ThreadPoolExecutor(len(connections)) as pool:
        return set().union(*pool.map(take_part, range(len(connections))))


def prepare(app: Connection, rounds: Sequence[Round]) -> None:
    with app.transaction():
        for current in rounds:
            settlement = current.settlement
            insert_settlement(
                app,
                settlement.settlement_id,
                settlement.lines,
                currency=settlement.currency,
                state="pending",
            )


def check(db: Connection, told: Sequence[Settlement]) -> None:
    """Compare all rows of the database with the debts of the committed settlements."""
    owed = [
        (settlement, payee_id, source_transaction, amount_minor)
        for settlement in told
        for (payee_id, source_transaction), amount_minor in settlement.owed.items()
    ]
    in_flight: defaultdict[str, int] = defaultdict(int)
    for settlement, _, _, amount_minor in owed:
        in_flight[settlement.currency] += amount_minor

    assert jobs(db) == sorted(settlement.settlement_id for settlement in told)
    assert rows(
        db,
        "select l.settlement_id, l.line_id, l.payee_id, l.source_transaction, l.amount_minor "
        "from payout.settlement_lines as l join payout.payout_jobs as j using (settlement_id)",
    ) == in_order(
        (
            settlement.settlement_id,
            content["line_id"],
            content["payee_id"],
            content.get("source_transaction"),
            content["amount_minor"],
        )
        for settlement in told
        for content in settlement.lines
    )
    assert rows(
        db,
        "select t.settlement_id, j.settlement_id, t.payee_id, t.source_transaction, "
        "t.amount_minor, t.currency, s.state, s.generation, s.attempt "
        "from payout.payout_transfers as t "
        "left join payout.payout_jobs as j using (payout_job_id) "
        "left join payout.transfer_states as s using (payout_transfer_id)",
    ) == in_order(
        (
            settlement.settlement_id,
            settlement.settlement_id,
            payee_id,
            source_transaction,
            amount_minor,
            settlement.currency,
            "scheduled",
            1,
            0,
        )
        for settlement, payee_id, source_transaction, amount_minor in owed
    )
    assert rows(
        db,
        "select t.settlement_id, t.payee_id, t.source_transaction, e.kind, e.generation, "
        "e.debit_account, e.credit_account, e.amount_minor, e.currency "
        "from payout.ledger_entries as e left join payout.payout_transfers as t "
        "using (payout_transfer_id)",
    ) == in_order(
        (
            settlement.settlement_id,
            payee_id,
            source_transaction,
            kind,
            1,
            debit_account,
            credit_account,
            amount_minor,
            settlement.currency,
        )
        for settlement, payee_id, source_transaction, amount_minor in owed
        for kind, debit_account, credit_account in (
            ("obligation", "settlement_funds", f"payable:{payee_id}"),
            ("reserve", f"payable:{payee_id}", "in_flight"),
        )
    )
    assert rows(
        db,
        "select currency, difference_minor, in_flight_minor, open_transfers_minor "
        "from payout_api.trial_balance",
    ) == in_order((currency, 0, amount, amount) for currency, amount in in_flight.items())


def check_the_others(db: Connection, pending: Iterable[str]) -> None:
    """Check that settlements whose every event was rolled back left no rows."""
    found = rows(
        db,
        "select s.settlement_id, s.state from payout.settlements as s "
        "where not exists (select from payout.payout_jobs as j "
        "where j.settlement_id = s.settlement_id)",
    )
    assert found == in_order((settlement_id, "pending") for settlement_id in pending)
    orphans = rows(
        db,
        "select l.settlement_id from payout.settlement_lines as l "
        "left join payout.settlements as s using (settlement_id) where s.settlement_id is null",
    )
    assert orphans == []


def rows(db: Connection, query: str) -> list[tuple[Any, ...]]:
    return in_order(db.execute(query.encode()))


def in_order(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    # Columns may be null, which does not compare.
    return sorted(rows, key=repr)


@dataclass(frozen=True, kw_only=True)
class Marketplace:
    """Ten connections of the application, and every settlement recorded over them so far."""

    db: Connection
    connections: list[Connection]
    rounds: list[Round] = field(default_factory=list)
    told: list[Settlement] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)

    def hold_rounds(
        self,
        form: Form,
        seed: int,
        *,
        rounds: int,
        isolation: str,
        try_again: tuple[type[psycopg.Error], ...],
    ) -> None:
        """Run rounds; an event that commits has its job, one that rolls back leaves none."""
        planned = plan(form, seed, first=len(self.rounds), rounds=rounds)
        self.rounds.extend(planned)
        for connection in self.connections:
            connection.execute(
                "select set_config('default_transaction_isolation', %s, false)", [isolation]
            )
        if form.is_pending_before:
            prepare(self.connections[0], planned)

        committed = run(self.connections, planned, try_again=try_again)

        for current in planned:
            if not all(current.rolls_back):
                self.told.append(current.settlement)
            elif form.is_pending_before:
                self.pending.append(current.settlement.settlement_id)
        expected = {r.settlement.settlement_id for r in planned if not all(r.rolls_back)}
        assert committed == expected
        check(self.db, self.told)
        check_the_others(self.db, self.pending)


@pytest.fixture(scope="module")
def marketplace(server: Server, maintenance: Connection) -> Iterator[Marketplace]:
    """One database for all rounds: the plans of its ten sessions serve them all."""
    with connect_to_clone(server, maintenance) as db, ExitStack() as stack:
        name = db.info.dbname
        # Mixed orders of writing end in deadlocks, which Postgres looks for after this time.
        db.execute(
            sql.SQL("alter database {} set deadlock_timeout = '10ms'").format(sql.Identifier(name))
        )
        uri = server.uri(name, user=login_name("payout_app"), password=PASSWORD)
        connections = [
            stack.enter_context(psycopg.connect(uri, autocommit=True))
            for _ in range(EVENTS_PER_ROUND)
        ]
        register(connections[0], *PAYEES)
        yield Marketplace(db=db, connections=connections)


def test_the_ritual_has_a_thousand_rounds() -> None:
    assert sum(form.rounds for form in FORMS.values()) == 1000


@pytest.mark.parametrize("name", FORMS)
def test_ten_events_at_once_make_one_job_with_the_right_transfers(
    name: str, marketplace: Marketplace, seed: int
) -> None:
    form = FORMS[name]
    marketplace.hold_rounds(
        form, seed, rounds=form.rounds, isolation="read committed", try_again=form.try_again
    )


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
@pytest.mark.parametrize("name", ["as inserts, statements and calls", "as updates and calls"])
def test_ten_events_at_once_that_try_again_make_one_job_at(
    isolation: str, name: str, marketplace: Marketplace, seed: int
) -> None:
    marketplace.hold_rounds(
        FORMS[name],
        seed,
        rounds=10,
        isolation=isolation,
        try_again=(errors.SerializationFailure, errors.DeadlockDetected),
    )
