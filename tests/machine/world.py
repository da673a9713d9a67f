"""One engine, one Stripe and a bad network, as moves that may come in any order.

The database, its functions, the worker's adapter and the double are the real ones; the machine only
draws the next move. Time passes by ageing all rows and moving the double's clock. A restore
is a real copy of the database, beside a Stripe that remembers everything: not adopted, or, as an
old data directory that was put back, with the identity that it had.
"""

from __future__ import annotations

import asyncio
import http.client
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from payout_engine.stripe_payout_adapter import StripePayoutAdapter, boot_seconds
from payout_engine_sandbox.stripe_books import StripeRefusalError
from payout_engine_sandbox.stripe_double import StripeDouble
from payout_engine_sandbox.stripe_faults import Fault
from tests.conftest import Connection, Server, adopt
from tests.engine import Claim, Engine, Outcome, outcome, success, unfunded
from tests.machine.copies import Copies
from tests.reconcile.listing import carry, claim
from tests.settle.marketplace import complete, line

Thing = TypeVar("Thing")

API_KEY: Final = "sk_test_machine"
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
MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
SPANS: Final = (31, 10 * MINUTE, 61 * MINUTE, 5 * HOUR, 21 * HOUR, 25 * HOUR)
# A request on its way arrives within this time after its lease, or never (attempt_drain_for).
DRAIN: Final = 15 * MINUTE
LEASE: Final = 30
# The index of a choice. A draw must not depend on the engine: its waits are random.
WHICH: Final = st.integers(0, 59)
# A few that meet everything, rather than many that meet little; and one page lists them all.
MOST_SETTLEMENTS: Final = 5
OTHER_INSTALLATION: Final = "installation_of_another"
# The engine's own reasons to leave a transfer parked for good.
FOR_A_PERSON: Final = {"absence_awaits_approval"}


FACTS: Final = {
    "payout_transfers": "payout_transfer_id",
    "transfer_observations": "observation_id",
    "transfer_requests": "transfer_request_id",
    "ledger_entries": "ledger_entry_id",
}
# Every row becomes older, facts too: only time may do that.
AGE_EVERYTHING: Final = """
do $$
declare
    v_table record;
begin
    for v_table in
        select c.oid::regclass as name, string_agg(
            format('%1$I = %1$I - interval ''{seconds}''', a.attname), ', ') as changes, (
            select string_agg(format('alter table %s disable trigger %I', c.oid::regclass, t.tgname)
                || '; ', '') from pg_trigger as t
            where t.tgrelid = c.oid and not t.tgisinternal) as unguard, (
            select string_agg(format('alter table %s enable %s trigger %I', c.oid::regclass,
                case t.tgenabled when 'A' then 'always' else '' end, t.tgname) || '; ', '')
            from pg_trigger as t where t.tgrelid = c.oid and not t.tgisinternal) as guard
        from pg_class as c
        join pg_attribute as a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'payout'::regnamespace and c.relkind = 'r'
            and a.atttypid in ('timestamptz'::regtype, 'payout.moment'::regtype)
        group by c.oid
    loop
        execute v_table.unguard;
        execute format('update %s set %s', v_table.name, v_table.changes);
        execute v_table.guard;
    end loop;
end
$$
"""


def take_over(db: Connection) -> None:
    """Give a copy the identity that it was adopted under, as an old data directory has it."""
    db.execute(
        "insert into payout.adoptions (system_identifier, timeline_id, database_oid, table_oid, "
        "reason) select w.*, 'as it was' from payout.database_identity() as w"
    )


def take(which: int, things: list[Thing]) -> Thing | None:
    """Take one out of a list, if it has any."""
    return things.pop(which % len(things)) if things else None


class Order(NamedTuple):
    """A claim of a worker, and its time."""

    claim: Claim
    claimed_at: float


class Settlement(NamedTuple):
    """A settlement of the application, remembered by the database or not."""

    settlement_id: str
    payees: int
    is_large: bool


class Dump(NamedTuple):
    """An older copy of the database, which a later move may restore."""

    database: str
    taken_at: float


class World(RuleBasedStateMachine):
    """See the module."""

    def __init__(self, server: Server, maintenance: Connection) -> None:
        super().__init__()
        self.stack = ExitStack()
        self.copies = self.stack.enter_context(Copies(server, maintenance))
        self.double = self.stack.enter_context(StripeDouble.in_thread())
        self.runner = self.stack.enter_context(asyncio.Runner())
        self.adapter = StripePayoutAdapter(api_key=API_KEY, api_base=self.double.url)
        self.runner.run(self.adapter.__aenter__())
        self.stack.callback(lambda: self.runner.run(self.adapter.__aexit__(None, None, None)))
        self.account = (self.runner.run(self.adapter.account_id()), False)
        self.engine = Engine(self.connect(self.copies.of_template()))
        adopt(self.engine.db)
        self.now = 0.0
        self.settled: list[Settlement] = []
        self.is_onboarded = False
        self.dump: Dump | None = None
        self.is_restored = False
        self.facts: dict[tuple[str, int], str] = {}
        self.accounts = {payee: payee.replace("seller", "acct") for payee in PAYEES}
        self.claims: list[Claim] = []
        self.orders: list[Order] = []
        self.outcomes: list[Outcome] = []
        self.on_the_way: list[Order] = []

    def teardown(self) -> None:
        try:
            self.come_to_rest()
        finally:
            self.stack.close()

    # Moves of the application and of operators.

    @initialize(count=st.integers(1, 3))
    def begin(self, count: int) -> None:
        self.settle(count=count, is_large=False)

    @precondition(lambda self: len(self.settled) < MOST_SETTLEMENTS)
    @rule(count=st.integers(1, 3), is_large=st.booleans())
    def settle(self, count: int, is_large: bool) -> None:
        self.settled.append(Settlement(f"set_{len(self.settled) + 1}", count, is_large))
        self.enter(self.settled[-1])

    @rule()
    def onboard(self) -> None:
        """The newcomer gets its account; what it has earned goes out."""
        self.is_onboarded = True
        self.register(NEWCOMER)

    @rule(is_funded=st.booleans())
    def fund(self, is_funded: bool) -> None:
        self.double.set_balance(currency="usd", available_minor=10**12 if is_funded else 0)

    @rule(payee=st.sampled_from(PAYEES), state=st.sampled_from(("open", "closed", "incapable")))
    def change_account(self, payee: str, state: Any) -> None:
        self.double.set_account(account_id=self.accounts[payee], state=state)

    @precondition(lambda self: self.dump is None)
    @rule(payee=st.sampled_from(PAYEES))
    def move_to_another_account(self, payee: str) -> None:
        """A payee gives another account; what was asked for before keeps the old one.

        Not while there is a dump: a database that has forgotten an account of its payee leaves a
        transfer to it to a person.
        """
        self.accounts[payee] += "_b"
        self.register(payee)

    @rule()
    def release_holds(self) -> None:
        self.engine.release_holds()

    @rule(payee=st.sampled_from(PAYEES))
    def another_installation_pays(self, payee: str) -> None:
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

    @rule()
    def approve(self) -> None:
        for transfer in self.waiting_for_an_operator():
            self.engine.operator.execute(
                "select payout_api.retry('looked at Stripe', p_payout_transfer_id => %s)",
                [transfer],
            )
        self.engine.approve()

    @rule(which=WHICH, part=st.sampled_from((1, 700, None)))
    def reverse(self, which: int, part: int | None) -> None:
        """An operator takes money back in the Dashboard, as far as there is any left."""
        transfer = take(which, self.double.transfers())
        if transfer and transfer["amount"] - transfer["amount_reversed"] >= (part or 1):
            self.double.reverse(transfer_id=transfer["id"], amount_minor=part)

    # Moves of databases.

    @rule()
    def take_a_dump(self) -> None:
        self.dump = Dump(self.copy(), self.now)

    @precondition(lambda self: self.dump is not None)
    @rule()
    def restore_the_dump(self) -> None:
        """Lose the database, go on with the dump, and adopt it as docs/restore.md says."""
        assert self.dump is not None
        name = self.copies.of(self.dump.database)
        self.engine.db.close()
        self.engine = Engine(self.connect(name))
        self.age(self.now - self.dump.taken_at)
        self.is_restored = True
        self.facts = {}
        assert self.refused_claim() == "SP403"
        # Nothing that the lost database sent is still to come.
        self.let_pass(25 * HOUR)
        self.let_lists_lag(0)
        self.reconcile(is_finished=True)
        self.engine.operator.execute("select payout_api.adopt_database('compared with Stripe')")
        self.engine.approve()

    @precondition(lambda self: self.dump is not None)
    @rule(hours=st.sampled_from((21, 25, 45)))
    def put_back_the_dump(self, hours: int) -> None:
        """Go on with an old data directory: its identity is the same, and nothing refuses it.

        It takes so long that all that the lost database sent has come, 500s too (late effects). The
        application repeats its settlements.
        """
        assert self.dump is not None
        name = self.copies.of(self.dump.database)
        self.engine.db.close()
        self.engine = Engine(self.connect(name))
        self.age(self.now - self.dump.taken_at)
        take_over(self.engine.db)
        self.is_restored = True
        self.facts = {}
        self.let_lists_lag(0)
        self.let_pass(hours * HOUR)
        self.enter_everything_again()

    @rule()
    def enter_everything_again(self) -> None:
        """The application repeats its settlement: the same call, the same job."""
        for settlement in self.settled:
            self.enter(settlement)

    # Moves of workers.

    @rule(limit=st.integers(1, 5))
    def claim(self, limit: int) -> None:
        """Claim as a worker does; where Stripe shows forgotten sends, an operator acts first."""
        refused = self.refused_claim()
        if refused == "SP405":
            self.read("newest")
            refused = self.refused_claim()
        if refused == "SP403":
            assert self.is_restored
            # One that is under way may have begun too long ago.
            self.read("comparison")
            self.read("comparison")
            self.engine.operator.execute("select payout_api.adopt_database('all is listed')")
            self.engine.approve()
            refused = self.refused_claim()
        assert refused is None
        claims = self.engine.claim(limit, account=self.account)
        self.claims += claims
        self.orders += [Order(claim, self.now) for claim in claims]

    @rule(minutes=st.sampled_from((-60, -6, 6, 60)))
    def claim_by_a_wrong_clock(self, minutes: int) -> None:
        """The database's clock is not Stripe's: the age of a key would be wrong."""
        before = self.states()
        with pytest.raises(psycopg.Error) as refused:
            self.engine.worker.execute(
                "select payout_api.claim_transfers(p_worker => 'worker_1', "
                "p_stripe_account_id => %s, p_is_livemode => %s, "
                "p_stripe_now => clock_timestamp() + make_interval(mins => %s))",
                [*self.account, minutes],
            )
        assert refused.value.sqlstate == "SP401"
        assert self.states() == before

    @rule(which=WHICH, is_success=st.booleans())
    def forge(self, which: int, is_success: bool) -> None:
        """A worker without the claim reports an outcome of it."""
        if self.claims:
            claim = self.claims[which % len(self.claims)]
            told = success(claim, stripe_transfer_id="tr_forged") if is_success else unfunded(claim)
            before = self.states()
            (answer,) = self.engine.report(told | {"claim_token": "ct_forged"})
            assert answer.verdict == "alarm"
            assert self.states() == before

    @rule(which=WHICH, fault=st.sampled_from(FAULTS))
    def send(self, which: int, fault: str | None) -> None:
        if order := self.an_order(which):
            self.send_one(order, fault)

    @rule(which=WHICH)
    def send_into_a_slow_network(self, which: int) -> None:
        """The worker gives up waiting; the request may still arrive."""
        order = self.an_order(which)
        if order and self.now - order.claimed_at < LEASE / 3:
            self.on_the_way.append(order)
            self.outcomes.append(outcome(order.claim, "no_response", detail="TimeoutError"))

    @rule(which=WHICH)
    def arrive(self, which: int) -> None:
        """A slow request arrives; its answer is lost."""
        order = take(which, self.on_the_way)
        if order and self.now - order.claimed_at < LEASE + DRAIN:
            self.post(order.claim)

    @rule(which=WHICH)
    def crash(self, which: int) -> None:
        """A worker dies with its claims."""
        self.an_order(which)

    @rule(which=WHICH, is_kept=st.booleans())
    def report(self, which: int, is_kept: bool) -> None:
        """Report a known outcome, perhaps an old one, perhaps not for the last time."""
        if told := take(which, self.outcomes):
            self.engine.report(told)
            if is_kept:
                self.outcomes.append(told)

    @rule()
    def sweep(self) -> None:
        self.engine.sweep()

    @rule(lag=st.sampled_from((0, 0, 30 * MINUTE)))
    def let_lists_lag(self, lag: int) -> None:
        self.double.set_list_lag(seconds=lag)

    @rule(is_finished=st.booleans())
    def look_up(self, is_finished: bool) -> None:
        """Do the look-ups that are due, or begin them and crash."""
        for lookup in self.engine.claim_lookups(account=self.account):
            for number, query in enumerate(lookup.queries[: None if is_finished else 1]):
                self.engine.report_page(lookup, number, self.listed(query))

    @rule(is_finished=st.booleans())
    def reconcile(self, is_finished: bool) -> None:
        """Compare all of Stripe's transfers with the books, or begin to and crash."""
        self.read("comparison", is_finished=is_finished)

    @rule()
    def read_events(self) -> None:
        """Read the events of reversals, also of transfers that no comparison covers."""
        self.read("events")

    @rule()
    def book_reversals(self) -> None:
        self.read("reversals")

    def read(self, kind: str, *, is_finished: bool = True) -> None:
        """Read all that is handed out of a kind, which fits on one page each; or begin to."""
        for read in claim(self.engine.worker, kind, account=self.account[0]):
            if is_finished:
                objects = self.listed(read.parameters, read.path)
                next_, *_ = carry(self.engine.worker, read, *objects)
                assert next_ is None

    # Time.

    @rule(seconds=st.sampled_from(SPANS))
    def let_pass(self, seconds: int) -> None:
        self.age(seconds)
        self.double.advance(seconds=seconds)
        self.now += seconds

    # Invariants.

    @invariant()
    def all_is_well(self) -> None:
        self.no_transfer_is_paid_twice()
        self.paid_transfers_exist_at_stripe_and_failed_ones_do_not()
        self.the_books_agree_with_the_states_and_the_states_with_the_facts()
        self.every_key_was_known_before_it_was_used_and_none_after_stripe_forgot_it()
        self.operators_are_notified_of_contradictions_only()
        self.no_more_reversals_are_booked_than_were_made()
        self.every_settlement_has_one_job_and_owes_the_sum_of_its_lines()
        self.attempts_count_up_and_only_the_newest_is_open()
        self.no_fact_has_changed()

    def no_transfer_is_paid_twice(self) -> None:
        for payout_ref, effects in self.double.effects_by_payout_ref().items():
            assert len(effects) <= 1, payout_ref

    def paid_transfers_exist_at_stripe_and_failed_ones_do_not(self) -> None:
        made = self.double.effects_by_payout_ref()
        for state, payout_ref, *owed in self.engine.db.execute(
            "select s.state, t.payout_ref, s.stripe_transfer_id, t.amount_minor, t.currency, "
            "coalesce(r.destination, (payout.destinations(t))[1]) "
            "from payout.transfer_states as s "
            "join payout.payout_transfers as t using (payout_transfer_id) "
            "left join payout.transfer_requests as r using (payout_transfer_id, generation)"
        ):
            effects = [
                [effect[name] for name in ("id", "amount", "currency", "destination")]
                for effect in made.get(payout_ref, [])
            ]
            if state == "paid":
                assert effects == [owed]
            elif state in ("failed", "cancelled") and not self.is_restored:
                assert effects == []

    def the_books_agree_with_the_states_and_the_states_with_the_facts(self) -> None:
        assert self.engine.differences_in_the_books() == []

    def every_key_was_known_before_it_was_used_and_none_after_stripe_forgot_it(self) -> None:
        known = {
            key
            for (key,) in self.engine.db.execute(
                "select distinct t.payout_ref || ':' || a.generation "
                "from payout.transfer_attempts as a "
                "join payout.payout_transfers as t using (payout_transfer_id)"
            )
        }
        used: dict[str | None, list[Any]] = defaultdict(list)
        for request in self.double.sends:
            used[request.key].append(request)
        assert self.is_restored or used.keys() <= known
        for key, requests in used.items():
            assert len({frozenset(request.params.items()) for request in requests}) == 1, key
            lasted = requests[-1].received_at - requests[0].received_at
            assert self.is_restored or lasted < 24 * HOUR, key

    def operators_are_notified_of_contradictions_only(self) -> None:
        """The double tells the truth, so nothing but forged reports contradicts the books."""
        alarms = self.engine.db.execute(
            "select reason from payout.transfer_observations where verdict = 'alarm' "
            "and reason <> 'report_of_another_claim'"
        )
        assert self.is_restored or alarms.fetchall() == []

    def every_settlement_has_one_job_and_owes_the_sum_of_its_lines(self) -> None:
        wrong = self.engine.db.execute(
            "select s.settlement_id from payout.settlements as s where s.total_minor <> all (array["
            "(select sum(l.amount_minor) from payout.settlement_lines as l "
            "where l.settlement_id = s.settlement_id), "
            "(select sum(t.amount_minor) from payout.payout_transfers as t "
            "where t.settlement_id = s.settlement_id)]) or 1 <> (select count(*) "
            "from payout.payout_jobs as j where j.settlement_id = s.settlement_id)"
        )
        assert wrong.fetchall() == []

    def attempts_count_up_and_only_the_newest_is_open(self) -> None:
        """A worker that outlives a restore may report an attempt which the database forgot."""
        wrong = self.engine.db.execute(
            "select s.payout_transfer_id from payout.transfer_states as s "
            "where s.attempt <> (select count(*) from payout.transfer_attempts as a "
            "where a.payout_transfer_id = s.payout_transfer_id) "
            "or not %s and exists (select from payout.transfer_observations as o "
            "where o.payout_transfer_id = s.payout_transfer_id and o.attempt > s.attempt)",
            [self.is_restored],
        )
        assert wrong.fetchall() == []

    def no_fact_has_changed(self) -> None:
        """Of everything but times, which the machine itself moves."""
        facts: dict[tuple[str, int], str] = {}
        for table, key in FACTS.items():
            for number, digest in self.engine.db.execute(
                f"select f.{key}, md5((select jsonb_object_agg(e.key, e.value) "
                "from jsonb_each(to_jsonb(f)) as e "
                "where e.key !~ '(_at|_until)$')::text) "
                f"from payout.{table} as f"
            ):
                facts[table, number] = digest
        assert self.facts.items() <= facts.items()
        self.facts = facts

    def no_more_reversals_are_booked_than_were_made(self) -> None:
        taken = {each["id"]: each["amount_reversed"] for each in self.double.transfers()}
        for transfer_id, booked in self.booked_reversals():
            assert booked <= taken[transfer_id]

    # The end: faults off, and every transfer comes to rest.

    def come_to_rest(self) -> None:
        self.double.clear_faults()
        self.double.set_list_lag(seconds=0)
        self.fund(True)
        self.on_the_way.clear()
        self.onboard()
        self.enter_everything_again()
        for payee in PAYEES:
            self.change_account(payee, "open")
        for _ in range(90):
            if not self.open_transfers():
                break
            self.engine.release_holds()
            for told in self.outcomes:
                self.engine.report(told)
            self.outcomes.clear()
            self.approve()
            self.sweep()
            self.claim(100)
            for order in self.orders:
                self.send_one(order, None)
            self.orders.clear()
            self.look_up(True)
            self.let_pass(61 * MINUTE)
        else:
            raise AssertionError(f"does not come to rest: {self.open_transfers()}")
        self.reconcile(is_finished=True)
        self.let_pass(61 * MINUTE)
        self.reconcile(is_finished=True)
        self.read_events()
        self.book_reversals()
        self.paid_transfers_exist_at_stripe_and_failed_ones_do_not()
        self.no_transfer_is_paid_twice()
        self.the_books_agree_with_the_states_and_the_states_with_the_facts()
        self.each_transfer_at_stripe_is_paid_or_an_open_discrepancy()
        taken = {each["id"]: each["amount_reversed"] for each in self.double.transfers()}
        assert dict(self.booked_reversals()) == {
            transfer_id: amount
            for transfer_id, amount in taken.items()
            if amount and transfer_id in self.paid()
        }

    def each_transfer_at_stripe_is_paid_or_an_open_discrepancy(self) -> None:
        open_ = self.engine.db.execute(
            "select stripe_transfer_id from payout.discrepancies where resolved_at is null"
        )
        in_discrepancies = {transfer_id for (transfer_id,) in open_}
        ours = {
            each["id"]
            for each in self.double.transfers()
            if each["metadata"]["payout_engine"] != OTHER_INSTALLATION
        }
        assert ours <= self.paid() | in_discrepancies

    def paid(self) -> set[str]:
        rows = self.engine.db.execute(
            "select stripe_transfer_id from payout.transfer_states where state = 'paid'"
        )
        return {transfer_id for (transfer_id,) in rows}

    def states(self) -> list[tuple[Any, ...]]:
        rows = self.engine.db.execute(
            "select payout_transfer_id, state, generation, attempt from payout.transfer_states "
            "order by payout_transfer_id"
        )
        return rows.fetchall()

    def booked_reversals(self) -> list[tuple[str, int]]:
        rows = self.engine.db.execute(
            "select s.stripe_transfer_id, sum(e.amount_minor)::bigint "
            "from payout.ledger_entries as e "
            "join payout.transfer_states as s using (payout_transfer_id) "
            "where e.kind = 'reversal' group by s.stripe_transfer_id"
        )
        return [(transfer_id, amount) for transfer_id, amount in rows]

    def open_transfers(self) -> list[tuple[Any, ...]]:
        rows = self.engine.db.execute(
            "select payout_transfer_id, state, reason from payout.transfer_states "
            "where state not in ('paid', 'cancelled') "
            "and not (state = 'failed' and next_attempt_at is null)"
        )
        return rows.fetchall()

    # How it is done.

    def connect(self, database: str) -> Connection:
        return self.stack.enter_context(psycopg.connect(self.copies.uri(database), autocommit=True))

    def copy(self) -> str:
        """Return a copy of the database, which must have no connection meanwhile."""
        name = self.engine.db.info.dbname
        self.engine.db.close()
        copy = self.copies.of(name)
        self.engine = Engine(self.connect(name))
        return copy

    def register(self, payee: str) -> None:
        has_account = self.is_onboarded or payee != NEWCOMER
        self.engine.app.execute(
            "select payout_api.register_payee(%s, %s)",
            [payee, self.accounts[payee] if has_account else None],
        )

    def enter(self, settlement: Settlement) -> None:
        for payee in PAYEES[: settlement.payees]:
            self.register(payee)
        amount = 200_000 if settlement.is_large else 1_500
        lines = [line(payee, payee, amount) for payee in PAYEES[: settlement.payees]]
        complete(self.engine.app, settlement.settlement_id, lines)

    def age(self, seconds: float) -> None:
        self.engine.db.execute(AGE_EVERYTHING.format(seconds=f"{seconds} seconds"))

    def refused_claim(self) -> str | None:
        """Return the SQLSTATE with which a claim is refused; None: it is not."""
        try:
            with self.engine.db.transaction(force_rollback=True):
                self.engine.claim(1, account=self.account)
        except psycopg.Error as error:
            return error.sqlstate
        return None

    def an_order(self, which: int) -> Order | None:
        """Take one of those that are held, or claim one."""
        if not self.orders:
            self.claim(1)
        return take(which, self.orders)

    def waiting_for_an_operator(self) -> Iterator[int]:
        rows = self.engine.db.execute(
            "select payout_transfer_id from payout.transfer_states "
            "where state = 'parked' and reason = any (%s)",
            [list(FOR_A_PERSON)],
        )
        return (transfer for (transfer,) in rows.fetchall())

    def send_one(self, order: Order, fault: str | None) -> None:
        """Send as the worker does, with the check before the send, and keep the outcome."""
        if fault is not None:
            late = {"late_seconds": 20.0 * HOUR} if fault.endswith("late_effect") else {}
            key = order.claim.idempotency_key
            if fault in FURTHER_FAULTS:
                self.double.inject(Fault(name=fault, key=key, **FURTHER_FAULTS[fault]))
            else:
                self.double.inject(fault, key=key, **late)
        told = self.runner.run(
            self.adapter.send(
                order.claim._asdict(), claimed_at=boot_seconds() - (self.now - order.claimed_at)
            )
        )
        self.double.clear_faults()
        note(f"{order.claim.idempotency_key[-6:]} {fault}: {told['signal']}")
        self.outcomes.append(dict(told))

    def post(self, claim: Claim) -> None:
        """Let a request arrive, as the bytes that had left."""
        form = {name: value for name, value in claim.request.items() if name != "metadata"}
        form |= {f"metadata[{name}]": text for name, text in claim.request["metadata"].items()}
        connection = http.client.HTTPConnection(self.double.host, self.double.port)
        connection.request(
            "POST",
            "/v1/transfers",
            urlencode(form),
            {
                "Authorization": f"Bearer {API_KEY}",
                "Idempotency-Key": claim.idempotency_key,
                "Content-Type": "application/x-www-form-urlencoded",
            },
        )
        connection.getresponse().read()
        connection.close()

    def listed(self, query: dict[str, Any], path: str = "/v1/transfers") -> list[dict[str, Any]]:
        """Read Stripe's list, in the database's time."""
        if "created" in query:
            created = {name: at + int(self.now) for name, at in query["created"].items()}
            query = {**query, "created": created}
        page = self.runner.run(self.adapter.list_page(path, query))
        assert not page.has_more
        return [{**found, "created": found["created"] - int(self.now)} for found in page.data]
