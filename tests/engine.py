"""The engine's SQL as a test drives it: settle, claim, report, sweep, and read the rows.

Time is moved by ageing rows, never by a setting: `Engine.let_pass`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any, Final, NamedTuple, cast

from psycopg.types.json import Jsonb

from tests.acting import Session
from tests.conftest import Connection, compare_newest, login_name

Outcome = dict[str, Any]

SETTLEMENT: Final = "set_1"
PAYEE: Final = "seller_1"
AMOUNT_MINOR: Final = 1500
STRIPE_TRANSFER: Final = "tr_1"

PROPOSALS: Final = "select action_id from payout_api.proposals order by action_id"

LOOKUPS: Final = (
    "select read_id, payout_transfer_id, queries from payout.stripe_reads "
    "where read_id = any (%s) order by read_id"
)

# Where the money of a transfer has to be, by its state; a payee's own account is for failed ones.
# A reversal moves no state.
DIFFERENCES_IN_THE_BOOKS: Final = """
with booked as (
    select m.account, m.currency, sum(m.amount_minor) as amount_minor
    from (
        select e.debit_account as account, e.currency, -e.amount_minor as amount_minor
        from payout.ledger_entries as e where e.kind not in ('reversal', 'write_off')
        union all
        select e.credit_account, e.currency, e.amount_minor
        from payout.ledger_entries as e where e.kind not in ('reversal', 'write_off')
    ) as m
    group by m.account, m.currency
    having sum(m.amount_minor) <> 0
), due as (
    select a.account, t.currency, sum(a.amount_minor) as amount_minor
    from payout.payout_transfers as t
    join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
    cross join lateral (values
        ('settlement_funds', -t.amount_minor),
        (case
            when s.state = 'paid' then 'stripe_balance'
            when s.state = 'failed' then 'payable:' || t.payee_id
            when s.state = 'cancelled' then 'settlement_funds'
            when s.state = 'settled_outside' then 'paid_outside'
            else 'in_flight'
        end, t.amount_minor)
    ) as a (account, amount_minor)
    group by a.account, t.currency
    having sum(a.amount_minor) <> 0
)
(table booked except table due) union all (table due except table booked)
"""


LOOK_FOR_FAILED: Final = """
with failed as (
    update payout.transfer_states set next_lookup_at = null
    where state = 'failed' and next_attempt_at is not null
    returning payout_transfer_id, generation, attempt
), looks as (
    insert into payout.stripe_reads (
        kind, path, queries, next_parameters, payout_transfer_id, worker, begun_at, finished_at,
        result)
    select 'lookup', '/v1/transfers', '[]', null, f.payout_transfer_id, 'a test', payout.clock(),
        payout.clock(), 'nothing'
    from failed as f
    returning read_id, payout_transfer_id
)
insert into payout.transfer_observations (
    payout_transfer_id, generation, attempt, signal, verdict, reason, facts)
select f.payout_transfer_id, f.generation, f.attempt, 'looked_up', 'ok', 'absent_at_stripe',
    jsonb_build_object('read_id', l.read_id, 'found', 0)
from failed as f
join looks as l using (payout_transfer_id)
"""


# No sequence is undone.
FREE_TURNS: Final = "select setval('payout.send_turns', 1), setval('payout.read_turns', 1)"


class Claim(NamedTuple):
    """A row of `claim_transfers`."""

    payout_transfer_id: int
    generation: int
    attempt: int
    idempotency_key: str
    claim_token: str
    request: dict[str, Any]
    lease_seconds: float
    deadline_seconds: float
    send_in_seconds: float
    due_for_seconds: float


class Report(NamedTuple):
    """A row of `report_outcomes`."""

    payout_transfer_id: int
    generation: int
    attempt: int
    verdict: str
    state: str


def alarms(listener: Connection, *, seconds: float = 0, stop_after: int | None = None) -> list[str]:
    """Return the alarms that came over the channel so far, or within so many seconds."""
    listener.execute("select")
    notices = listener.notifies(timeout=seconds, stop_after=stop_after)
    return [json.loads(notice.payload)["alarm"] for notice in notices]


class Lookup(NamedTuple):
    """A look-up that was claimed, with all of its queries."""

    read_id: int
    payout_transfer_id: int
    queries: list[dict[str, Any]]
    token: str


class LookupReport(NamedTuple):
    """The row of `report_page` for a look-up: its verdict, and the state of the transfer."""

    is_complete: bool
    verdict: str | None
    state: str


class Progress(NamedTuple):
    """A row of `transfer_states`; times are counted from now."""

    state: str
    generation: int
    attempt: int
    tries: int
    has_unknown_send: bool
    reason: str | None
    stripe_transfer_id: str | None
    lease_for: timedelta | None
    next_attempt_in: timedelta | None
    next_lookup_in: timedelta | None


class Sweep(NamedTuple):
    """The numbers of transfers that one sweep moved."""

    leases_expired: int
    transfers_parked: int
    transfers_reopened: int


class Observation(NamedTuple):
    """The stored observation of one outcome."""

    attempt: int
    signal: str
    verdict: str
    moved_to: str | None
    reason: str | None


class Entry(NamedTuple):
    """A row of `ledger_entries`."""

    kind: str
    generation: int
    debit_account: str
    credit_account: str
    amount_minor: int


@contextmanager
def unguarded(connection: Connection, *tables: str) -> Iterator[None]:
    """Let a superuser write tables as no guard allows; afterwards the guards are as they were."""
    # One statement for each table: every plan that uses a table is made anew after each.
    guards = connection.execute(
        "select format('alter table %%s ', tgrelid::regclass) "
        "|| string_agg(format('disable trigger %%I', tgname), ', '), "
        "format('alter table %%s ', tgrelid::regclass) || string_agg(format('enable %%s trigger "
        "%%I', case tgenabled when 'A' then 'always' else '' end, tgname), ', ') "
        "from pg_trigger where not tgisinternal and tgrelid = any (%s::regclass[]) "
        "group by tgrelid",
        [list(tables)],
    ).fetchall()
    connection.execute("; ".join(disable for disable, _ in guards).encode())
    yield
    connection.execute("; ".join(enable for _, enable in guards).encode())


class Engine:
    """The engine of one database. With one connection, all of its roles act on that one.

    With `log_in` each role has a connection of its own, once it is needed.
    """

    def __init__(self, db: Connection, *, log_in: Callable[[str], Any] | None = None) -> None:
        self.db = db
        self._log_in = log_in or (lambda _: db)

    @cached_property
    def app(self) -> Connection:
        """The connection of the application."""
        return self._log_in("payout_app")

    @cached_property
    def worker(self) -> Connection:
        """The connection of a worker."""
        return self._log_in("payout_worker")

    @cached_property
    def operator(self) -> Connection:
        """The connection of an operator."""
        return self._log_in("payout_operator")

    @cached_property
    def approver(self) -> Connection:
        """The connection of another person, who approves."""
        approver = self._log_in("payout_approver")
        if approver is self.db:
            login = login_name("payout_approver")
            return cast("Connection", Session(self.db, login))
        return approver

    def approve(self) -> None:
        """Approve, as another person, every proposal that waits."""
        for (proposal,) in self.db.execute(PROPOSALS).fetchall():
            with self.db.transaction():
                self.approver.execute("select payout_api.approve(%s, 'looked too')", [proposal])

    def settle(
        self,
        *payees: str,
        settlement_id: str = SETTLEMENT,
        currency: str = "usd",
        amount_minor: int = AMOUNT_MINOR,
        pay_after: str | None = None,
    ) -> list[int]:
        """Complete a settlement that owes each payee the same; return the transfers, by payee."""
        payees = payees or (PAYEE,)
        self.app.execute(
            "select payout_api.register_payee(payee, replace(payee, 'seller', 'acct')) "
            "from unnest(%s::text[]) as payee",
            [list(payees)],
        )
        lines = [
            {"line_id": str(line), "payee_id": payee, "amount_minor": amount_minor}
            for line, payee in enumerate(payees, start=1)
        ]
        self.app.execute(
            "select payout_api.complete_settlement("
            "p_settlement_id => %s, p_currency => %s, p_lines => %s, p_pay_after => %s)",
            [settlement_id, currency, Jsonb(lines), pay_after],
        )
        rows = self.db.execute(
            "select payout_transfer_id from payout.payout_transfers where settlement_id = %s "
            "order by array_position(%s, payee_id::text)",
            [settlement_id, list(payees)],
        )
        return [row[0] for row in rows]

    def claim(
        self,
        limit: int | None = 100,
        *,
        payout_job_id: int | None = None,
        worker: str | None = "worker_1",
        account: tuple[str | None, bool | None] = (None, None),
        stripe_now: datetime | None = None,
        connection: Connection | None = None,
    ) -> list[Claim]:
        """Claim as a worker, with a key of an account in a mode; in order of the transfers."""
        rows = (connection or self.worker).execute(
            "select * from payout_api.claim_transfers("
            "p_worker => %s, p_limit => %s, p_payout_job_id => %s, "
            "p_stripe_account_id => %s, p_is_livemode => %s, p_stripe_now => %s)",
            [worker, limit, payout_job_id, *account, stripe_now],
        )
        return sorted(Claim(*row) for row in rows)

    def claim_one(self) -> Claim:
        """Claim the one transfer that is due."""
        claims = self.claim()
        assert len(claims) == 1, claims
        return claims[0]

    def report(self, *outcomes: Any, connection: Connection | None = None) -> list[Report]:
        """Report as a worker; one row for each outcome."""
        rows = (connection or self.worker).execute(
            "select * from payout_api.report_outcomes(p_outcomes => %s)", [Jsonb(outcomes)]
        )
        return [Report(*row) for row in rows]

    def report_one(self, outcome: Outcome) -> tuple[str, str]:
        """Report one outcome; return verdict and state."""
        (row,) = self.report(outcome)
        return row.verdict, row.state

    def sweep(self, limit: int = 1000, *, connection: Connection | None = None) -> Sweep:
        """Sweep as a worker."""
        row = (connection or self.worker).execute(
            "select leases_expired, transfers_parked, transfers_reopened "
            "from payout_api.sweep(p_limit => %s)",
            [limit],
        )
        return Sweep(*row.fetchall()[0])

    def hold(self, scope: str, subject: str | None = None) -> int:
        """Make a hold as an operator; return its id."""
        row = self.operator.execute(
            "select payout_api.hold(p_scope => %s, p_reason => 'to look', p_subject => %s)",
            [scope, subject],
        )
        return int(row.fetchall()[0][0])

    def release_holds(self) -> None:
        """Release every open hold that does not end by itself, as an operator."""
        for hold_id, *_ in self.db.execute(
            "select hold_id from payout.holds where released_at is null and goes_on_at is null "
            "order by hold_id"
        ):
            self.operator.execute(
                "select payout_api.release_hold(p_hold_id => %s, p_reason => 'looked')", [hold_id]
            )
        self.approve()

    def claim_lookups(
        self,
        limit: int | None = 20,
        *,
        worker: str | None = "worker_1",
        account: tuple[str | None, bool | None] = (None, None),
        stripe_now: datetime | None = None,
        connection: Connection | None = None,
    ) -> list[Lookup]:
        """Claim the look-ups that are due, as a worker."""
        claimed = (connection or self.worker).execute(
            "select read_id, token from payout_api.claim_reads(p_worker => %s, p_limit => %s, "
            "p_stripe_account_id => %s, p_is_livemode => %s, p_kind => 'lookup', "
            "p_stripe_now => %s)",
            [worker, limit, *account, stripe_now],
        )
        tokens = dict(claimed.fetchall())
        rows = (connection or self.db).execute(LOOKUPS, [list(tokens)]) if tokens else []
        return [Lookup(*row, token=tokens[row[0]]) for row in rows]

    def report_page(
        self,
        lookup: Lookup,
        query_number: int,
        transfers: Any,
        *,
        parameters: dict[str, Any] | None = None,
        starting_after: str | None = None,
        has_more: bool | None = False,
        connection: Connection | None = None,
    ) -> LookupReport:
        """Report a page of a look-up, as a worker; of its own query, unless another is given."""
        after = {"starting_after": starting_after} if starting_after else {}
        asked = lookup.queries[query_number] | after if parameters is None else parameters
        row = (connection or self.worker).execute(
            "select next_parameters is null, result from payout_api.report_page("
            "p_read_id => %s, p_token => %s, p_parameters => %s, p_objects => %s, "
            "p_has_more => %s)",
            [lookup.read_id, lookup.token, Jsonb(asked), Jsonb(transfers), has_more],
        )
        ((is_complete, result),) = row.fetchall()
        if not is_complete:
            return LookupReport(False, None, self.progress(lookup.payout_transfer_id).state)
        return LookupReport(True, *result.partition(": ")[2].split(", "))

    def look_up(self, *found: dict[str, Any]) -> LookupReport:
        """Do the one look-up that is due; every query lists the same."""
        (lookup,) = self.claim_lookups()
        for number in range(len(lookup.queries)):
            report = self.report_page(lookup, number, list(found))
        return report

    def adopt(self) -> None:
        """Adopt the database as an operator, and compare Stripe's newest transfers since."""
        self.db.execute("select payout.adopt('all is known', true)")
        compare_newest(self.db)

    def let_pass(self, interval: str) -> None:
        """Age every lease, wait, attempt, observation, look-up, key, turn and adoption so much."""
        with unguarded(
            self.db,
            "payout.transfer_states",
            "payout.transfer_attempts",
            "payout.transfer_observations",
            "payout.stripe_reads",
            "payout.adoptions",
        ):
            self._age(interval)

    def _age(self, interval: str) -> None:
        self.db.execute(
            "update payout.transfer_states set "
            "lease_until = lease_until - %(interval)s::interval, "
            "next_attempt_at = next_attempt_at - %(interval)s::interval, "
            "window_begins_at = window_begins_at - %(interval)s::interval, "
            "next_lookup_at = next_lookup_at - %(interval)s::interval, "
            "changed_at = changed_at - %(interval)s::interval",
            {"interval": interval},
        )
        self.db.execute(
            "update payout.transfer_observations set "
            "next_attempt_at = next_attempt_at - %(interval)s::interval, "
            "observed_at = observed_at - %(interval)s::interval",
            {"interval": interval},
        )
        self.db.execute(
            "update payout.stripe_reads set begun_at = begun_at - %(interval)s::interval "
            "where kind <> 'newest'",
            {"interval": interval},
        )
        self.db.execute(
            "update payout.adoptions set recorded_at = recorded_at - %(interval)s::interval "
            "where not is_installation",
            {"interval": interval},
        )
        self.db.execute(
            "update payout.holds set goes_on_at = goes_on_at - %(interval)s::interval "
            "where awaits is not null and released_at is null",
            {"interval": interval},
        )
        self.db.execute(
            "update payout.cap_uses set begun_at = begun_at - %(interval)s::interval",
            {"interval": interval},
        )
        self.db.execute(
            "update payout.paces set refused_at = refused_at - %(interval)s::interval, "
            "grown_at = grown_at - %(interval)s::interval",
            {"interval": interval},
        )
        self.db.execute(FREE_TURNS)
        self.db.execute(
            "update payout.transfer_attempts set "
            "window_begins_at = window_begins_at - %(interval)s::interval, "
            "claimed_at = claimed_at - %(interval)s::interval, "
            "lease_until = lease_until - %(interval)s::interval",
            {"interval": interval},
        )

    def make_due(self) -> None:
        """Let the wait of every transfer be over, and Stripe's list show nothing of the failed."""
        self.forget_pace()
        self.end_waits()
        self.db.execute(
            "update payout.transfer_states set next_attempt_at = payout.clock() "
            "where next_attempt_at is not null"
        )
        self.show_nothing()

    def end_waits(self) -> None:
        """Let every wait for funds, an account or a cap be over."""
        self.db.execute(
            "select payout.end_holds(array(select hold_id from payout.holds "
            "where released_at is null and awaits is not null), 'engine', 'a test')"
        )

    def forget_pace(self) -> None:
        """Let no refusal for the rate be known."""
        self.db.execute(
            "update payout.paces set per_second = null, refused_per_second = null, "
            "refused_at = null"
        )
        self.db.execute(FREE_TURNS)

    def show_nothing(self) -> None:
        """Let a look at Stripe's list, made now, show nothing of the transfers that failed."""
        self.db.execute(LOOK_FOR_FAILED)

    def make_lookups_due(self) -> None:
        """Let every parked transfer be looked up at once."""
        self.db.execute(
            "update payout.transfer_states set next_lookup_at = payout.clock() "
            "where next_lookup_at is not null"
        )

    def set(self, **settings: object) -> None:
        """Change the engine's numbers."""
        for name, value in settings.items():
            self.db.execute(f"update payout.engine_settings set {name} = %s", [value])

    def progress(self, payout_transfer_id: int) -> Progress:
        """Return how far a transfer has come."""
        row = self.db.execute(
            "select state, generation, attempt, tries, has_unknown_send, reason, "
            "stripe_transfer_id, lease_until - payout.clock(), next_attempt_at - payout.clock(), "
            "next_lookup_at - payout.clock() "
            "from payout.transfer_states where payout_transfer_id = %s",
            [payout_transfer_id],
        )
        return Progress(*row.fetchall()[0])

    def entries(self, payout_transfer_id: int) -> list[Entry]:
        """Return the ledger entries of a transfer, in order."""
        rows = self.db.execute(
            "select kind, generation, debit_account, credit_account, amount_minor "
            "from payout.ledger_entries where payout_transfer_id = %s order by ledger_entry_id",
            [payout_transfer_id],
        )
        return [Entry(*row) for row in rows]

    def observations(self, payout_transfer_id: int) -> list[Observation]:
        """Return the observations of a transfer, in order."""
        rows = self.db.execute(
            "select attempt, signal, verdict, moved_to, reason "
            "from payout.transfer_observations where payout_transfer_id = %s "
            "order by observation_id",
            [payout_transfer_id],
        )
        return [Observation(*row) for row in rows]

    def open_holds(self) -> list[tuple[str, str | None, str]]:
        """Return scope, subject and reason of each open hold that is no wait."""
        rows = self.db.execute(
            "select scope, subject, reason from payout.holds where released_at is null "
            "and awaits is null order by hold_id"
        )
        return [(scope, subject, reason) for scope, subject, reason in rows]

    def discrepancies(self) -> list[tuple[str, int | None, str | None]]:
        """Return kind, transfer and Stripe's id of each open discrepancy."""
        rows = self.db.execute(
            "select kind, payout_transfer_id, stripe_transfer_id from payout.discrepancies "
            "order by discrepancy_id"
        )
        return [(kind, transfer, stripe_transfer) for kind, transfer, stripe_transfer in rows]

    def plan_as_for_many_rows(self) -> None:
        """Let indexes be used as if tables were long, whatever earlier tests left as statistics."""
        tables = self.db.execute(
            "select string_agg(format('payout.%I', tablename), ', ') from pg_tables "
            "where schemaname = 'payout'"
        ).fetchall()[0][0]
        self.db.execute(f"analyze {tables}")
        self.db.execute("set local enable_seqscan = off")

    def rows_read(self) -> int:
        """Return how many rows of transfers this transaction has read so far, in any way."""
        row = self.db.execute(
            "select sum(pg_stat_get_xact_tuples_fetched(c.oid) + case c.relkind "
            "when 'r' then pg_stat_get_xact_tuples_returned(c.oid) else 0 end) from pg_class as c "
            "cross join (values ('payout.payout_transfers'::regclass), "
            "('payout.transfer_states'::regclass)) as t (oid) where c.oid = t.oid "
            "or c.oid in (select i.indexrelid from pg_index as i where i.indrelid = t.oid)"
        )
        return int(row.fetchall()[0][0])

    def differences_in_the_books(self) -> list[tuple[Any, ...]]:
        """Return where ledger, states and facts disagree; nothing if all agree."""
        projection = self.db.execute("select * from payout_api.verify_projection()")
        return self.db.execute(DIFFERENCES_IN_THE_BOOKS).fetchall() + projection.fetchall()


# Where Stripe's answer has what SQL reads into an outcome.
IN_THE_BODY: Final = {
    "error_type": ("error", "type"),
    "error_code": ("error", "code"),
    "error_message": ("error", "message"),
    "error_param": ("error", "param"),
    "object": ("object",),
    "stripe_transfer_id": ("id",),
    "amount_minor": ("amount",),
    "currency": ("currency",),
    "destination": ("destination",),
    "is_livemode": ("livemode",),
    "transfer_group": ("transfer_group",),
    "source_transaction": ("source_transaction",),
    "payout_ref": ("metadata", "payout_ref"),
    "payout_engine": ("metadata", "payout_engine"),
    "amount_reversed_minor": ("amount_reversed",),
}


def outcome(claim: Claim, signal: str, **facts: object) -> Outcome:
    """Return the outcome of a claim, as a worker reports it; what is Stripe's is in its body."""
    identity = {
        "payout_transfer_id": claim.payout_transfer_id,
        "generation": claim.generation,
        "attempt": claim.attempt,
        "idempotency_key": claim.idempotency_key,
        "claim_token": claim.claim_token,
    }
    tied = {"is_tied": True} if signal == "response" else {}
    body: dict[str, Any] = {}
    for name in facts.keys() & IN_THE_BODY.keys():
        *outer, last = IN_THE_BODY[name]
        place = body
        for part in outer:
            place = place.setdefault(part, {})
        place[last] = facts.pop(name)
    return identity | {"signal": signal, "body": body} | tied | facts


def success(claim: Claim, **changes: object) -> Outcome:
    """Return the outcome in which Stripe made the transfer, as asked for except for `changes`."""
    facts: dict[str, object] = {
        "http_status": 200,
        "object": "transfer",
        "stripe_transfer_id": STRIPE_TRANSFER,
        "amount_minor": claim.request["amount"],
        "currency": claim.request["currency"],
        "destination": claim.request["destination"],
        "is_livemode": False,
        "payout_ref": claim.request["metadata"]["payout_ref"],
        "payout_engine": claim.request["metadata"]["payout_engine"],
        "amount_reversed_minor": 0,
        "is_replayed": False,
    }
    return outcome(claim, "response", **(facts | changes))


def listed(claim: Claim, **changes: object) -> dict[str, Any]:
    """Return the transfer of a claim as Stripe lists it, as asked for except for `changes`."""
    transfer: dict[str, Any] = {
        "id": STRIPE_TRANSFER,
        "object": "transfer",
        "amount_reversed": 0,
        "livemode": False,
        **claim.request,
    }
    return transfer | changes


def refusal_by_stripe(claim: Claim, http_status: int, error_code: str | None) -> Outcome:
    """Return the outcome in which Stripe answered with an error."""
    return outcome(
        claim,
        "response",
        http_status=http_status,
        error_type="invalid_request_error",
        error_code=error_code,
    )


def unfunded(claim: Claim) -> Outcome:
    """Return the decline for want of money in the platform's balance; Stripe saves it."""
    return refusal_by_stripe(claim, 400, "balance_insufficient") | {"should_retry": "false"}


def no_such_account(claim: Claim) -> Outcome:
    """Return the refusal of a destination that Stripe does not know; Stripe does not save it."""
    return refusal_by_stripe(claim, 404, "resource_missing")


def no_answer(claim: Claim) -> Outcome:
    """Return the outcome of a request without an answer."""
    return outcome(claim, "no_response", detail="TimeoutError")


def rate_limited(claim: Claim) -> Outcome:
    """Return the outcome in which Stripe did not look at the request."""
    return outcome(claim, "response", http_status=429, rate_limited_reason="endpoint-rate")
