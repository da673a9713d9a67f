"""The moves of the machine, which may come in any order."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final, Literal

import psycopg

from payout_engine_sandbox.stripe_books import StripeRefusalError
from tests.conftest import Connection, Server
from tests.engine import Engine, outcome, success, unfunded
from tests.machine.clock import time_at
from tests.machine.drawing import Step, move
from tests.machine.invariants import Watched
from tests.machine.world import (
    DRAIN,
    FAULTS,
    HOUR,
    LARGEST_ERROR,
    LEASE,
    MINUTE,
    NOT_ADOPTED,
    NOT_NOW,
    OTHER_INSTALLATION,
    PAYEES,
    READ_IS_OVER,
    TAKE_OVER,
    TICK,
    Settlement,
    take,
)

Act = Literal["settle", "settle_again", "claim", "report", "sweep", "look_up", "reconcile"]

# Short ones are drawn more often: within a long one every key grows old.
SPANS: Final = (31.0, 31.0, 11 * MINUTE, 11 * MINUTE, 61 * MINUTE, 61 * MINUTE, 5 * HOUR, 25 * HOUR)
ERRORS: Final = (-50 * HOUR, -HOUR, -4 * MINUTE, 4 * MINUTE, HOUR, 25 * HOUR, 50 * HOUR)
# The index of a choice.
WHICH: Final = range(60)
# A few that meet everything, rather than many that meet little; and one page lists them all.
MOST_SETTLEMENTS: Final = 8
TRY_AGAIN: Final = "40001"


class Machine(Watched):
    """See the module."""

    def __init__(self, server: Server, maintenance: Connection, template: str) -> None:
        super().__init__(server, maintenance, template)
        self.counts["(runs)"] += 1

    # The application and operators.

    def begin(self) -> None:
        self.enter_a_settlement(2, is_large=False, waits_for=0)

    def make(self, step: Step) -> None:
        """Make a move, and look at everything after it."""
        self.counts[step.name] += 1
        getattr(self, step.name)(**step.arguments)
        self.all_is_well()
        self.wait(TICK)

    @move(
        6,
        when=lambda self: len(self.settled) < MOST_SETTLEMENTS,
        count=(1, 2, 3),
        is_large=(False, True),
        waits_for=(0, 0, 2),
    )
    def settle(self, count: int, is_large: bool, waits_for: int) -> None:
        self.enter_a_settlement(count, is_large, waits_for)

    def enter_a_settlement(
        self, count: int, is_large: bool, waits_for: int, engine: Engine | None = None
    ) -> None:
        pay_after = time_at(self.time + waits_for * HOUR) if waits_for else None
        name = f"set_{len(self.settled) + 1}"
        self.settled.append(Settlement(name, count, is_large, pay_after))
        self.enter(self.settled[-1], engine)

    @move()
    def enter_everything_again(self) -> None:
        """The application repeats itself; a restored database may have forgotten some of it."""
        self.register()
        for settlement in self.settled:
            self.enter(settlement)

    @move(when=lambda self: not self.is_onboarded)
    def onboard(self) -> None:
        """The newcomer gets its account; what it has earned goes out."""
        self.is_onboarded = True
        self.register()

    @move(2, is_funded=(True, True, False))
    def fund(self, is_funded: bool) -> None:
        self.double.set_balance(currency="usd", available_minor=10**12 if is_funded else 0)

    @move(payee=PAYEES, state=("open", "open", "closed", "incapable"))
    def change_account(self, payee: str, state: Any) -> None:
        self.double.set_account(account_id=self.accounts[payee], state=state)

    @move(2, payee=PAYEES)
    def move_to_another_account(self, payee: str) -> None:
        """A payee gives another account; a request that was made before keeps the old one."""
        self.accounts[payee] += "_b"
        self.register()

    @move(hold=(("engine", None), ("currency", "usd"), ("payee", "seller_1"), ("transfer", "1")))
    def hold(self, hold: tuple[str, str | None]) -> None:
        self.engine.hold(*hold)

    @move(10, when=lambda self: self.engine.open_holds())
    def release_holds(self) -> None:
        self.engine.release_holds()

    @move()
    def approve(self) -> None:
        self.approve_absences()

    @move(when=lambda self: self.double.transfers(), which=WHICH, part=(1, 700, None))
    def reverse(self, which: int, part: int | None) -> None:
        """An operator takes money back in the Dashboard, as far as there is any left."""
        transfer = take(which, self.double.transfers())
        if transfer and transfer["amount"] - transfer["amount_reversed"] >= (part or 1):
            self.double.reverse(transfer_id=transfer["id"], amount_minor=part)

    @move(payee=PAYEES)
    def let_another_installation_pay(self, payee: str) -> None:
        """It pays as much to the same account, under ids of its own; none of it is ours."""
        payout_ref = f"payout_{len(self.double.transfers())}_of_another"
        with suppress(StripeRefusalError):  # without funds, or to a closed account
            self.double.transfer(
                destination=self.accounts[payee],
                amount_minor=1_500,
                transfer_group=payout_ref,
                metadata={
                    "payout_ref": payout_ref,
                    "settlement_id": "set_of_another",
                    "payee_id": payee,
                    "payout_engine": OTHER_INSTALLATION,
                },
            )

    # Databases.

    @move(3)
    def take_a_dump(self) -> None:
        self.dump = self.copy()

    @move(5, when=lambda self: self.dump is not None, is_early=(False, True))
    def restore_the_dump(self, is_early: bool) -> None:
        """Lose the database, go on with the dump, and adopt it as docs/restore.md says.

        Early: before a day has passed since the lost database last sent. From then on the workers
        compare each hour.
        """
        assert self.dump is not None
        self.go_back(self.dump)
        self.dump = None
        self.set_right()
        self.was_put_back = is_early
        self.all_has_come_at = self.time + 25 * HOUR
        assert self.refused_claim() == NOT_ADOPTED
        # The workers of the lost database are stopped, and their requests have arrived.
        self.orders.clear()
        self.wait(20 * MINUTE if is_early else 25 * HOUR)
        self.double.set_list_lag(seconds=0)
        self.read("comparison")
        self.adopt("compared with Stripe")
        self.compares_hourly = self.compares_hourly or is_early

    @move(3, when=lambda self: self.dump is not None, hours=(21, 25, 45))
    def put_back_the_dump(self, hours: int) -> None:
        """Go on with an old data directory: its identity is the same, and nothing refuses it.

        It takes so long that all that the lost database sent has come, 500s too (late effects). The
        application repeats its settlements.
        """
        assert self.dump is not None
        self.go_back(self.dump)
        self.dump = None
        self.set_right()
        self.engine.db.execute(TAKE_OVER)
        self.was_put_back = True
        self.double.set_list_lag(seconds=0)
        self.wait(hours * HOUR)
        self.all_has_come_at = self.time
        self.enter_everything_again()

    @move(4, when=lambda self: self.snapshot is None, level=("repeatable read", "serializable"))
    def take_a_snapshot(self, level: str) -> None:
        """Begin a transaction that sees the database as it is now, whatever others do."""
        self.snapshot = self.connect(self.engine.db.info.dbname)
        self.snapshot.execute(f"begin isolation level {level}".encode())
        self.snapshot.execute("select machine.now(), count(*) from payout.transfer_states")

    @move(12, when=lambda self: self.snapshot is not None, act=Act.__args__, which=WHICH)
    def act_under_the_snapshot(self, act: Act, which: int) -> None:
        """Do something in the old transaction, and commit; or be told to try again."""
        assert self.snapshot is not None
        told = take(which, self.outcomes) if act == "report" else None
        committed = set(self.committed)
        try:
            self.act(act, Engine(self.snapshot), told)
            self.snapshot.execute("commit")
            self.counts[f"{act} under a snapshot"] += 1
        except psycopg.Error as error:
            refusal = error.sqlstate or str(error)
            assert refusal == TRY_AGAIN or refusal.startswith(NOT_NOW), refusal
            self.counts[f"{act} under a snapshot, refused: {refusal}"] += 1
            self.committed = committed
            self.outcomes += [told] if told else []
        self.end_snapshot()

    def act(self, act: Act, engine: Engine, told: Any) -> None:
        match act:
            case "settle" if len(self.settled) < MOST_SETTLEMENTS:
                self.enter_a_settlement(2, is_large=False, waits_for=0, engine=engine)
            case "settle_again":
                for settlement in self.settled:
                    self.enter(settlement, engine)
            case "claim":
                engine.claim(5, account=self.account, stripe_now=time_at(self.time))
                raise AssertionError("claimed under an old snapshot")
            case "report" if told:
                engine.report(told)
            case "sweep":
                engine.sweep()
            case "look_up":
                for look in self.look(engine):
                    self.report_look(look, engine)
            case "reconcile":
                self.read("comparison", engine=engine)

    @move(2, when=lambda self: self.lock is None)
    def lock_the_queue(self) -> None:
        """A session holds every table of the queue, and its owner goes home."""
        self.lock = self.connect(self.engine.db.info.dbname)
        self.lock.execute(
            "begin; lock table procrastinate.procrastinate_jobs, "
            "procrastinate.procrastinate_events in access exclusive mode"
        )

    @move(3, when=lambda self: self.lock is not None)
    def unlock_the_queue(self) -> None:
        self.unlock()

    # Workers.

    @move(
        6,
        when=lambda self: not self.is_clock_wrong,
        limit=(1, 2, 5),
        worker=("worker_1", "worker_2"),
    )
    def claim(self, limit: int, worker: str) -> None:
        self.take_orders(limit, worker)

    @move(2, when=lambda self: self.is_clock_wrong)
    def claim_by_a_wrong_clock(self) -> None:
        """The database's clock is not Stripe's: the age of a key would be wrong."""
        before = self.states()
        assert self.refused_claim() == "SP401"
        assert self.states() == before

    @move(10, which=WHICH, fault=FAULTS)
    def send_an_order(self, which: int, fault: str | None) -> None:
        if order := self.an_order(which):
            self.send(order, fault)

    @move(14, fault=FAULTS)
    def work(self, fault: str | None) -> None:
        """Claim all that is due, send and report it; the same happens to each request."""
        if not self.is_clock_wrong:
            self.take_orders(5)
            for order in self.orders:
                self.send(order, fault)
            self.orders.clear()
            self.engine.report(*self.outcomes)
            self.outcomes.clear()

    @move(10, rounds=(1, 3, 6), pause=(61 * MINUTE, 9 * HOUR), fault=FAULTS)
    def let_the_workers_live(self, rounds: int, pause: float, fault: str | None) -> None:
        """They sweep, send and look up all that is due, again and again; but do not compare."""
        for _ in range(rounds if self.open_transfers() else 1):
            self.engine.sweep()
            self.work(fault)
            self.look_up()
            self.wait(pause)

    @move(3, which=WHICH)
    def send_into_a_slow_network(self, which: int) -> None:
        """The worker gives up waiting; the request may still arrive."""
        order = self.an_order(which)
        if order and self.time - order.claimed_at < LEASE / 3:
            self.on_the_way.append(order)
            self.outcomes.append(outcome(order.claim, "no_response", detail="TimeoutError"))

    @move(3, when=lambda self: self.on_the_way, which=WHICH)
    def arrive(self, which: int) -> None:
        """A slow request arrives; its answer is lost."""
        order = take(which, self.on_the_way)
        if order and self.time - order.claimed_at < LEASE + DRAIN:
            self.post(order.claim)

    @move(which=WHICH)
    def crash(self, which: int) -> None:
        """A worker dies with its claims."""
        self.an_order(which)

    @move(10, when=lambda self: self.outcomes, which=WHICH, is_kept=(False, True))
    def report(self, which: int, is_kept: bool) -> None:
        """Report a known outcome, perhaps an old one, perhaps not for the last time."""
        if told := take(which, self.outcomes):
            self.engine.report(told)
            if is_kept:
                self.outcomes.append(told)

    @move(when=lambda self: self.claims, which=WHICH, is_success=(False, True))
    def forge_a_report(self, which: int, is_success: bool) -> None:
        """A worker without the claim reports an outcome of it."""
        claim = self.claims[which % len(self.claims)]
        told = success(claim, stripe_transfer_id="tr_forged") if is_success else unfunded(claim)
        before = self.states()
        (answer,) = self.engine.report(told | {"claim_token": "ct_forged"})
        assert answer.verdict == "alarm"
        assert self.states() == before

    @move(10)
    def sweep(self) -> None:
        self.engine.sweep()

    # Stripe's lists.

    @move(lag=(0, 0, 30 * MINUTE))
    def let_lists_lag(self, lag: float) -> None:
        self.double.set_list_lag(seconds=lag)

    @move(10)
    def look_up(self) -> None:
        """Do the look-ups that are due."""
        for look in self.look():
            self.report_look(look)

    @move(4)
    def look_up_slowly(self) -> None:
        """Do them, and report them later, or never."""
        self.looks += self.look()

    @move(4, when=lambda self: self.looks, which=WHICH)
    def report_a_slow_look_up(self, which: int) -> None:
        if look := take(which, self.looks):
            try:
                self.report_look(look)
            except psycopg.Error as error:
                if error.sqlstate not in READ_IS_OVER:
                    raise

    @move(2, is_finished=(False, True))
    def reconcile(self, is_finished: bool) -> None:
        """Compare all of Stripe's transfers with the books, or begin to and crash."""
        self.read("comparison", is_finished=is_finished)

    @move()
    def read_events(self) -> None:
        """Read the events of reversals, also of transfers that no comparison covers."""
        self.read("events")

    @move()
    def book_reversals(self) -> None:
        self.read("reversals")

    # Time.

    @move(16, seconds=SPANS)
    def let_pass(self, seconds: float) -> None:
        self.wait(seconds)

    @move(2, error=ERRORS)
    def step_the_clock(self, error: float) -> None:
        """The database's clock jumps, ahead or back."""
        self.error = error
        self.set_clock()
        size = "unnoticed" if abs(error) <= LARGEST_ERROR else "too far"
        self.counts[f"clock steps {'ahead' if error > 0 else 'back'}, {size}"] += 1

    @move(12, when=lambda self: self.error)
    def set_the_clock_right(self) -> None:
        self.set_right()
