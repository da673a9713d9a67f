"""The demo's report at the end: tables that fit 80 columns, in a terminal or in a log."""

from __future__ import annotations

from collections import Counter
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from payout_engine_sandbox.demo.reconciliation import Facts, Row, total_by_currency
from payout_engine_sandbox.demo.scenario import MARKETS

STATES: Final = (
    *("paid", "failed", "parked", "cancelled"),
    *("unknown", "retry_wait", "in_flight", "scheduled"),
)
PROBLEMS_SHOWN: Final = 10


def show_report(console: Console, facts: Facts) -> None:
    """Print all tables."""
    heading(console, "Transfers by state")
    console.print(_states(facts))
    heading(console, "Unpaid transfers by reason")
    console.print(_reasons(facts))
    heading(console, "Paid transfers: Stripe beside the ledger")
    console.print(_both_sides(facts))
    _show_traffic(console, facts)
    heading(console, "Trial balance")
    console.print(_trial_balance(facts))


def show_verdict(console: Console, facts: Facts, problems: list[str]) -> None:
    """Print the problems, or that there are none."""
    if not problems:
        console.print(
            f"\nEverything reconciles: {len(facts.transfers):,} transfers owed, "
            f"{len(facts.made):,} made at Stripe, none twice, none forgotten.",
            style="bold green",
        )
        return
    console.print("\nIT DOES NOT RECONCILE", style="bold red")
    for problem in problems[:PROBLEMS_SHOWN]:
        console.print(f"  {problem}", style="red")
    if len(problems) > PROBLEMS_SHOWN:
        console.print(f"  and {len(problems) - PROBLEMS_SHOWN} more", style="red")


def heading(console: Console, text: str) -> None:
    """Print the heading of a section."""
    console.print(f"\n{text}", style="bold")


def _table(*columns: str, text: tuple[int, ...] = (0,)) -> Table:
    """Return an empty table; the columns numbered in `text` hold words, the others figures."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, header_style="dim", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number in text else "right")
    return table


def _states(facts: Facts) -> Table:
    counts = Counter((row["state"], row["currency"]) for row in facts.transfers)
    table = _table("", *MARKETS, "all")
    for state in STATES:
        in_state = [counts[state, currency] for currency in MARKETS]
        if any(in_state):
            table.add_row(state, *map(_figure, in_state), _figure(sum(in_state)))
    totals = total_by_currency(facts.transfers)
    in_all = [totals[currency].transfers for currency in MARKETS]
    table.add_row("all", *map(_figure, in_all), _figure(sum(in_all)), style="bold")
    return table


def _reasons(facts: Facts) -> Table:
    table = _table("", "state: reason", "turn", "next step", text=(1, 2, 3))
    table.columns[1].max_width = 28
    for row in facts.unpaid:
        reason = f"{row['state']}: {row['reason'].replace('_', ' ')}"
        table.add_row(_figure(row["transfers"]), reason, row["whose_turn"], _next_step(row))
    return table


def _next_step(row: Row) -> str:
    if row["due_in_seconds"] is None:
        return str(row["advice"])
    seconds = max(0, row["due_in_seconds"])
    wait = f"{seconds:.0f} s" if seconds < 60 else f"{seconds / 60:.0f} min"
    return f"{row['advice']} By itself in {wait}."


def _both_sides(facts: Facts) -> Table:
    columns = ("", "at Stripe", "amount", "in ledger", "amount", "in doubt", "")
    table = _table(*columns, text=(0, 6))
    all_made = total_by_currency(facts.made, amount="amount")
    all_booked = total_by_currency(facts.booked)
    all_in_doubt = total_by_currency(facts.in_doubt)
    for currency in MARKETS:
        made, booked, in_doubt = (
            totals[currency] for totals in (all_made, all_booked, all_in_doubt)
        )
        is_equal = made == booked.plus(in_doubt)
        table.add_row(
            currency,
            _figure(made.transfers),
            _money(made.amount_minor, currency),
            _figure(booked.transfers),
            _money(booked.amount_minor, currency),
            _figure(in_doubt.transfers),
            "equal" if is_equal else "NOT EQUAL",
            style=None if is_equal else "bold red",
        )
    return table


def _show_traffic(console: Console, facts: Facts) -> None:
    twice = sum(len(effects) > 1 for effects in facts.effects.values())
    console.print(f"Made more than once at Stripe, counted by payout_ref: {twice}")
    for row in facts.in_doubt:
        console.print(
            f"In doubt: {_money(row['amount_minor'], row['currency'])} {row['currency']} to "
            f"{row['destination']} is made at Stripe, but {row['state']} in the books "
            f"({row['reason'].replace('_', ' ')}); it counts as in flight until that is cleared up."
        )
    faults = ", ".join(f"{count} {name}" for name, count in facts.traffic["faults"].items())
    console.print(
        f"Stripe had {facts.traffic['requests']:,} requests. Faults: {faults}. It answered "
        f"{facts.traffic['replayed']} repeats with the answer that it had saved."
    )


def _trial_balance(facts: Facts) -> Table:
    figures = ("debit", "credit", "difference", "in_flight", "open_transfers")
    table = _table("", *(figure.replace("_", " ") for figure in figures))
    for row in facts.trial_balance:
        currency = row["currency"]
        table.add_row(currency, *(_money(row[f"{name}_minor"], currency) for name in figures))
    return table


def _money(amount_minor: int, currency: str) -> str:
    digits = MARKETS[currency].minor_digits
    return f"{amount_minor / 10**digits:,.{digits}f}"


def _figure(count: int) -> str:
    return f"{count:,}" if count else "-"
