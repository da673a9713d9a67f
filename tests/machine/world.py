"""One engine, one Stripe and a bad network: the world in which the moves are made.

The database, its functions, the worker's adapter and the double are the real ones. The database
and the double live by clocks that the machine sets, the double by the true time, the database by
one that may be wrong.
"""

from __future__ import annotations

import asyncio
import http.client
from collections import Counter
from contextlib import ExitStack
from datetime import datetime
from typing import Any, ClassVar, Final, NamedTuple, TypeVar
from urllib.parse import urlencode

import psycopg
import pytest
from psycopg.types.json import Jsonb

from payout_engine.stripe_payout_adapter import StripePayoutAdapter, boot_seconds
from payout_engine_sandbox.stripe_double import StripeDouble
from payout_engine_sandbox.stripe_faults import Fault
from tests.conftest import Connection, Server, adopt
from tests.engine import Claim, Engine, Lookup, Outcome
from tests.machine.clock import BEGINNING, set_clock, time_at
from tests.machine.copies import Copies
from tests.reconcile.listing import Read, carry, claim

Thing = TypeVar("Thing")

API_KEY: Final = "sk_test_machine"
OTHER_INSTALLATION: Final = "installation_of_another"
PAYEES: Final = ("seller_1", "seller_2", "seller_3")
# This one has no Stripe account until it is onboarded.
NEWCOMER: Final = "seller_2"
# Answers that a named fault does not give: copies that name the key of another request, while this
# one is executed, and a 403, which names none.
OTHER_KEY: Final = {"Idempotency-Key": "payout_of_another:1"}
FURTHER_FAULTS: Final[dict[str, dict[str, Any]]] = {
    "copied_decline": {
        "status": 400,
        "error_code": "balance_insufficient",
        "headers": OTHER_KEY | {"Stripe-Should-Retry": "false"},
    },
    "copied_refusal": {"status": 404, "error_code": "resource_missing", "headers": OTHER_KEY},
    "copied_success": {"changes": {"id": "tr_of_another"}, "headers": OTHER_KEY},
    "unfunded": {
        "effect": "none",
        "status": 400,
        "is_saved": True,
        "error_code": "balance_insufficient",
    },
    "forbidden_account": {"effect": "none", "status": 403, "error_code": "account_invalid"},
}
FAULTS: Final = (
    *FURTHER_FAULTS,
    None,
    "answer_lost",
    "close_before_effect",
    "unavailable",
    "unavailable_after_effect",
    "server_error",
    "server_error_after_effect",
    "server_error_before_late_effect",
    "rate_limited",
    "lock_timeout",
    "key_in_use",
    "declined",
    "not_json",
)
MINUTE: Final = 60.0
HOUR: Final = 60 * MINUTE
# A move takes so long.
TICK: Final = 0.1
LEASE: Final = 30.0
# A request on its way arrives within this time after its lease, or never (attempt_drain_for).
DRAIN: Final = 15 * MINUTE
# The engine claims nothing while its clock is further from Stripe's.
LARGEST_ERROR: Final = 5 * MINUTE
# It is never right to refuse a move because of these: the worker comes back later.
NOT_NOW: Final = "SP4"
NOT_ADOPTED: Final = "SP403"
NOT_COMPARED: Final = "SP405"
# The read is of a lost database, was finished by another worker, or counts no longer.
READ_IS_OVER: Final = {"SP340", "SP341"}


# The identity that a database was adopted under is its own: it was put back as a data directory.
TAKE_OVER: Final = (
    "insert into payout.adoptions (system_identifier, timeline_id, database_oid, table_oid, "
    "reason) select w.*, 'as it was' from payout.database_identity() as w"
)


def take(which: int, things: list[Thing]) -> Thing | None:
    """Take one out of a list, if it has any."""
    return things.pop(which % len(things)) if things else None


class Order(NamedTuple):
    """A claim of a worker, and its true time."""

    claim: Claim
    claimed_at: float


class Look(NamedTuple):
    """A look-up that a slow worker has made and not reported yet."""

    lookup: Lookup
    pages: list[list[dict[str, Any]]]


class Settlement(NamedTuple):
    """A settlement of the application, remembered by the database or not."""

    settlement_id: str
    payees: int
    is_large: bool
    pay_after: datetime | None


class World:
    """See the module."""

    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self, server: Server, maintenance: Connection, template: str) -> None:
        self.log: list[str] = []
        self.time = 0.0
        """The true time, Stripe's, in seconds since the beginning."""
        self.error = 0.0
        """So far ahead of it is the database's clock."""
        self.stack = ExitStack()
        self.copies = self.stack.enter_context(Copies(server, maintenance))
        self.double = self.stack.enter_context(
            StripeDouble.in_thread(clock=lambda: BEGINNING.timestamp() + self.time)
        )
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.adapter = StripePayoutAdapter(api_key=API_KEY, api_base=self.double.url)
        self.runner.run(self.adapter.__aenter__())
        self.stack.callback(lambda: self.runner.run(self.adapter.__aexit__(None, None, None)))
        self.account = (self.runner.run(self.adapter.account_id()), False)
        self.open(self.copies.of(template))
        adopt(self.engine.db)
        self.settled: list[Settlement] = []
        self.committed: set[str] = set()
        """The settlements that the database has told the application it has."""
        self.accounts = {payee: payee.replace("seller", "acct") for payee in PAYEES}
        self.is_onboarded = False
        self.register()
        self.dump: str | None = None
        """An older copy of the database, which a later move may put in its place."""
        self.is_restored = False
        self.was_put_back = False
        """Stripe may show sends that the database has forgotten."""
        self.all_has_come_at = 0.0
        """The time from which on the next claim has seen them all."""
        self.compares_hourly = False
        self.snapshot: Connection | None = None
        """A transaction that sees the database as it was when it began."""
        self.lock: Connection | None = None
        """A session that has locked the queue."""
        self.orders: list[Order] = []
        self.claims: list[Claim] = []
        self.outcomes: list[Outcome] = []
        self.on_the_way: list[Order] = []
        self.looks: list[Look] = []

    # Databases.

    def connect(self, database: str) -> Connection:
        return self.stack.enter_context(psycopg.connect(self.copies.uri(database), autocommit=True))

    def open(self, database: str) -> None:
        """Let the engine live in a database from now on."""
        self.engine = Engine(self.connect(database))
        # The waits are random: the same in each run of the same moves.
        self.engine.db.execute("select setseed(0.5)")
        self.set_clock()

    def copy(self) -> str:
        """Return a copy of the database, which must have no connection meanwhile."""
        name = self.engine.db.info.dbname
        self.close()
        copy = self.copies.of(name)
        self.open(name)
        return copy

    def close(self) -> None:
        """End every session of the database."""
        self.engine.db.close()
        self.end_snapshot()
        self.unlock()

    def end_snapshot(self) -> None:
        if self.snapshot:
            self.snapshot.close()
            self.snapshot = None

    def unlock(self) -> None:
        if self.lock:
            self.lock.close()
            self.lock = None

    def go_back(self, dump: str) -> None:
        """Lose the database, and go on with a copy of an older one."""
        self.close()
        self.open(self.copies.of(dump))
        self.is_restored = True
        rows = self.engine.db.execute("select settlement_id from payout.settlements")
        self.committed = {settlement_id for (settlement_id,) in rows}

    # Time.

    def set_clock(self) -> None:
        set_clock(self.engine.db, self.time + self.error)

    def wait(self, seconds: float) -> None:
        while self.compares_hourly and seconds > HOUR:
            self.time += HOUR
            seconds -= HOUR
            self.set_clock()
            self.read("comparison")
        self.time += seconds
        self.set_clock()

    def set_right(self) -> None:
        self.error = 0.0
        self.set_clock()

    @property
    def is_clock_wrong(self) -> bool:
        return abs(self.error) > LARGEST_ERROR

    def adopt(self, reason: str) -> None:
        """One person proposes to adopt the database, another approves it."""
        self.engine.operator.execute("select payout_api.adopt_database(%s)", [reason])
        self.engine.approve()

    # The application.

    def register(self) -> None:
        """Register every payee, as a restored database may have forgotten some."""
        for payee, account in self.accounts.items():
            has_account = self.is_onboarded or payee != NEWCOMER
            self.engine.app.execute(
                "select payout_api.register_payee(%s, %s)",
                [payee, account if has_account else None],
            )

    def enter(self, settlement: Settlement, engine: Engine | None = None) -> None:
        """Complete a settlement, or repeat it: the same call, the same job."""
        lines = [
            {
                "line_id": str(number),
                "payee_id": payee,
                "amount_minor": 200_000 if settlement.is_large else 1_500,
            }
            for number, payee in enumerate(PAYEES[: settlement.payees], start=1)
        ]
        (engine or self.engine).app.execute(
            "select payout_api.complete_settlement(p_settlement_id => %s, p_currency => 'usd', "
            "p_lines => %s, p_pay_after => %s)",
            [settlement.settlement_id, Jsonb(lines), settlement.pay_after],
        )
        self.committed.add(settlement.settlement_id)

    # Workers.

    def try_to_claim(self, limit: int, worker: str = "worker_1") -> list[Claim]:
        return self.engine.claim(
            limit, worker=worker, account=self.account, stripe_now=time_at(self.time)
        )

    def refused_claim(self) -> str | None:
        """Return the SQLSTATE with which a claim is refused, as it must be."""
        with pytest.raises(psycopg.Error) as refused:
            self.try_to_claim(5)
        return refused.value.sqlstate

    def take_orders(self, limit: int, worker: str = "worker_1") -> None:
        """Claim as a worker does; where Stripe shows forgotten sends, an operator acts first."""
        claims = None
        while claims is None:
            try:
                claims = self.try_to_claim(limit, worker)
            except psycopg.Error as error:
                if error.sqlstate == NOT_COMPARED:
                    self.read("newest")
                elif error.sqlstate == NOT_ADOPTED and self.was_put_back:
                    # One that is under way may have begun too long ago.
                    self.read("comparison")
                    self.read("comparison")
                    self.adopt("all is listed")
                else:
                    raise
        if self.time >= self.all_has_come_at:
            self.was_put_back = False
        self.claims += claims
        self.orders += [Order(each, self.time) for each in claims]

    def an_order(self, which: int) -> Order | None:
        """Take one of those that are held, or claim one."""
        if not self.orders and not self.is_clock_wrong:
            self.take_orders(1)
        return take(which, self.orders)

    def send(self, order: Order, fault: str | None) -> None:
        """Send as the worker does, with the check before the send, and keep the outcome."""
        if fault is not None:
            late = {"late_seconds": 24 * HOUR} if fault.endswith("late_effect") else {}
            key = order.claim.idempotency_key
            if fault in FURTHER_FAULTS:
                self.double.inject(Fault(name=fault, key=key, **FURTHER_FAULTS[fault]))
            else:
                self.double.inject(fault, key=key, **late)
        told = self.runner.run(
            self.adapter.send(
                order.claim._asdict(), claimed_at=boot_seconds() - (self.time - order.claimed_at)
            )
        )
        self.double.clear_faults()
        self.log.append(
            f"    # transfer {order.claim.payout_transfer_id}, generation "
            f"{order.claim.generation}, attempt {order.claim.attempt}: {told['signal']} "
            f"{told.get('http_status', '')}"
        )
        self.outcomes.append(dict(told))

    def post(self, order: Claim) -> None:
        """Let a request arrive, as the bytes that had left."""
        form = {name: value for name, value in order.request.items() if name != "metadata"}
        form |= {f"metadata[{name}]": text for name, text in order.request["metadata"].items()}
        connection = http.client.HTTPConnection(self.double.host, self.double.port)
        connection.request(
            "POST",
            "/v1/transfers",
            urlencode(form),
            {
                "Authorization": f"Bearer {API_KEY}",
                "Idempotency-Key": order.idempotency_key,
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        connection.getresponse().read()
        connection.close()

    def listed(self, query: dict[str, Any], path: str = "/v1/transfers") -> list[dict[str, Any]]:
        page = self.runner.run(self.adapter.list_page(path, query))
        assert not page.has_more
        return page.data

    def look(self, engine: Engine | None = None) -> list[Look]:
        """Do the look-ups that are due, without reporting them."""
        lookups = (engine or self.engine).claim_lookups(
            account=self.account, stripe_now=time_at(self.time)
        )
        return [
            Look(lookup, [self.listed(query) for query in lookup.queries]) for lookup in lookups
        ]

    def report_look(self, look: Look, engine: Engine | None = None) -> None:
        for number, page in enumerate(look.pages):
            (engine or self.engine).report_page(look.lookup, number, page)

    def read(self, kind: str, *, is_finished: bool = True, engine: Engine | None = None) -> None:
        """Read all that is handed out of a kind, which fits on one page each; or begin to."""
        worker = (engine or self.engine).worker
        for read in claim(worker, kind, account=self.account[0]):
            if is_finished:
                self.report_read(worker, read)

    def report_read(self, worker: Connection, read: Read) -> None:
        next_, *_ = carry(worker, read, *self.listed(read.parameters, read.path))
        assert next_ is None
