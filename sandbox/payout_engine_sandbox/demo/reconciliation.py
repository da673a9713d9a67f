"""Compares the transfers at Stripe with those of the database, one by one.

It trusts neither: the debts are counted from the CSV files, the payments from the double.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import DictRow

from payout_engine_sandbox.demo.scenario import Batch
from payout_engine_sandbox.demo.stand import DoubleClient

Row = dict[str, Any]

# In these states the books do not know whether Stripe has moved the money.
UNSURE: Final = frozenset({"in_flight", "unknown", "parked"})
SAME_AT_STRIPE: Final = {
    "stripe_transfer_id": "id",
    "amount_minor": "amount",
    "currency": "currency",
    "destination": "destination",
}
QUERIES: Final = {
    "transfers": """
        select t.payout_ref, t.currency, t.amount_minor, r.destination, s.state, s.reason,
            s.stripe_transfer_id
        from payout.payout_transfers as t
        join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
        left join payout.transfer_requests as r
            on r.payout_transfer_id = s.payout_transfer_id and r.generation = s.generation
    """,
    "unpaid": """
        select u.state, u.reason, u.whose_turn, u.advice, count(*) as transfers,
            extract(epoch from min(u.next_attempt_at) - clock_timestamp())::float8 as due_in_seconds
        from payout_api.unpaid as u
        group by u.state, u.reason, u.whose_turn, u.advice
        order by count(*) desc, u.state, u.reason
    """,
    "booked": "select currency, amount_minor from payout.ledger_entries where kind = 'paid'",
    "trial_balance": "select * from payout_api.trial_balance order by currency",
    # A discrepancy is open for each look-up that waits for a person; the demo causes some.
    "failed_checks": """
        select d.check_name, d.detail
        from payout_api.doctor() as d
        where d.status = 'failure' and d.check_name <> 'no discrepancy is open'
        union all
        select v.check_name, v.detail from payout_api.verify_settlements() as v
        union all
        select v.check_name, v.detail from payout_api.verify_books() as v
        union all
        select 'a discrepancy stands at a parked transfer', d.kind
        from payout.discrepancies as d
        left join payout.transfer_states as s on s.payout_transfer_id = d.payout_transfer_id
        where d.resolved_at is null and s.state is distinct from 'parked'
    """,
}


class Total(NamedTuple):
    """So many transfers, and their amounts in minor units."""

    transfers: int = 0
    amount_minor: int = 0

    def __str__(self) -> str:
        return f"{self.transfers} transfers of {self.amount_minor}"

    def plus(self, other: Total) -> Total:
        """Return the sum of both."""
        return Total(self.transfers + other.transfers, self.amount_minor + other.amount_minor)


def total_by_currency(rows: Iterable[Row], *, amount: str = "amount_minor") -> dict[str, Total]:
    """Return the total of each currency; of one that does not occur, nothing."""
    totals: defaultdict[str, Total] = defaultdict(Total)
    for row in rows:
        totals[row["currency"]] = totals[row["currency"]].plus(Total(1, row[amount]))
    return totals


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The data of both sides, once nothing moves any more."""

    transfers: list[Row]
    """Every transfer with its state."""
    unpaid: list[Row]
    """The unpaid transfers, grouped by reason."""
    booked: list[Row]
    """The ledger's entries that say Stripe has paid."""
    trial_balance: list[Row]
    failed_checks: list[Row]
    effects: dict[str, list[Row]]
    """Stripe's transfers by the payout_ref in their metadata; under "" those without."""
    traffic: Row
    """Stripe's own summary: requests, repeats, faults."""

    @property
    def made(self) -> list[Row]:
        """All transfers at Stripe."""
        return [effect for effects in self.effects.values() for effect in effects]

    @property
    def in_doubt(self) -> list[Row]:
        """The transfers that Stripe has made and the books do not know as paid."""
        return [
            transfer
            for transfer in self.transfers
            if transfer["state"] in UNSURE and transfer["payout_ref"] in self.effects
        ]


def read_facts(auditor: psycopg.Connection[DictRow], double: DoubleClient) -> Facts:
    """Read the database, all of it as of one moment, and then Stripe."""
    with auditor.transaction():
        auditor.execute("set transaction isolation level repeatable read, read only")
        rows = {name: auditor.execute(query).fetchall() for name, query in QUERIES.items()}
    return Facts(effects=double.view("effects"), traffic=double.view("summary"), **rows)


def find_problems(facts: Facts, batches: list[Batch]) -> list[str]:
    """Return every difference between the sides, a line each; none if they reconcile."""
    return [
        *_compare_effects(facts),
        *_compare_transfers(facts),
        *_compare_totals(facts, batches),
        *_check_books(facts),
        *(f"doctor fails: {row['check_name']} ({row['detail']})" for row in facts.failed_checks),
    ]


def _compare_effects(facts: Facts) -> Iterator[str]:
    known = {transfer["payout_ref"] for transfer in facts.transfers}
    for payout_ref, effects in facts.effects.items():
        if len(effects) > 1:
            yield f"{payout_ref} is at Stripe {len(effects)} times"
        if payout_ref not in known:
            yield f"{effects[0]['id']} is at Stripe, and no transfer here explains it"


def _compare_transfers(facts: Facts) -> Iterator[str]:
    for transfer in facts.transfers:
        payout_ref, state = transfer["payout_ref"], transfer["state"]
        made = facts.effects.get(payout_ref)
        if made is None and state == "paid":
            yield f"{payout_ref} is paid in the books and not at Stripe"
        if made is not None and state != "paid" and state not in UNSURE:
            yield f"{payout_ref} is {state} in the books, and Stripe has made it"
        if made is not None and state == "paid":
            for ours, theirs in SAME_AT_STRIPE.items():
                if transfer[ours] != made[0][theirs]:
                    yield f"{payout_ref}: {ours} is {transfer[ours]}, at Stripe {made[0][theirs]}"


def _compare_totals(facts: Facts, batches: list[Batch]) -> Iterator[str]:
    expected: defaultdict[str, Total] = defaultdict(Total)
    for batch in batches:
        total = Total(batch.transfers, batch.totals_minor.total())
        expected[batch.market.currency] = expected[batch.market.currency].plus(total)
    found = total_by_currency(facts.transfers)
    paid = total_by_currency(row for row in facts.transfers if row["state"] == "paid")
    booked = total_by_currency(facts.booked)
    for currency in sorted(expected | found | booked):
        if found[currency] != expected[currency]:
            yield f"{currency}: the files owe {expected[currency]}, the books {found[currency]}"
        if booked[currency] != paid[currency]:
            yield f"{currency}: the ledger paid {booked[currency]}, paid are {paid[currency]}"


def _check_books(facts: Facts) -> Iterator[str]:
    for row in facts.trial_balance:
        if row["difference_minor"]:
            yield f"{row['currency']}: the books are off by {row['difference_minor']}"
        if row["in_flight_minor"] != row["open_transfers_minor"]:
            yield (
                f"{row['currency']}: {row['in_flight_minor']} in the account in_flight, "
                f"{row['open_transfers_minor']} in open transfers"
            )
