"""Exports the ledger for accounting, page by page, and compares its sums with the books.

An interval is half-open, so that months add up: its first day counts, the day of its end does not.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Final, NamedTuple, TextIO

from payout_engine.database import Call
from payout_engine.errors import UserError
from payout_engine.rows import Entry, LedgerTotal

PAGE_LIMIT: Final = 5000
COLUMNS: Final = tuple(Entry.__annotations__)
# A spreadsheet takes a text that begins so for a formula, also where letters are wide ones. The
# apostrophe is there so that the mark before such a text can be taken off again.
FORMULA: Final = (*"=+-@\t\r\n", *"\uff1d\uff0b\uff0d\uff20", "'")
HEADINGS: Final = ("account", "currency", "opening", "debit", "credit", "closing")


class BooksDiffer(Exception):
    """The sums of the entries are not those of the books; the message says where."""


class Interval(NamedTuple):
    """Days of UTC: from a midnight on, before another."""

    begin: datetime
    end: datetime

    @classmethod
    def read(cls, begin: str, end: str) -> Interval:
        """Return the interval of two dates. Raises UserError if it is none."""
        interval = cls(_midnight("--from", begin), _midnight("--to", end))
        if interval.begin >= interval.end:
            raise UserError(
                f"--to {end} is not after --from {begin}: the day of --to is left out, so a single "
                "day ends with the next one"
            )
        return interval

    @property
    def arguments(self) -> dict[str, datetime]:
        """The arguments by which the functions of the ledger take it."""
        return {"p_from": self.begin, "p_to": self.end}

    def is_over(self) -> bool:
        """Say whether no more can be booked in it."""
        return self.end <= datetime.now(UTC)

    def __str__(self) -> str:
        begin, end = self.begin.date(), self.end.date()
        return f"from {begin} to the end of the day before {end} (UTC)"


def _midnight(option: str, text: str) -> datetime:
    with suppress(ValueError):
        day = date.fromisoformat(text)
        if day.isoformat() == text:
            return datetime.combine(day, time(), UTC)
    raise UserError(f"{option} {text!r} is no date: write one as 2026-01-31")


def entries(call: Call, interval: Interval) -> Iterator[Entry]:
    """Read the entries of the interval in the order of their ids, a page at a time."""
    after: dict[str, int] = {}
    while True:
        page: list[Entry] = call("ledger_page", **interval.arguments, **after, p_limit=PAGE_LIMIT)
        yield from page
        if len(page) < PAGE_LIMIT:
            return
        after = {"p_after": page[-1]["entry_id"]}


def export(
    call: Call,
    interval: Interval,
    *,
    form: str,
    output: TextIO,
    show: Callable[[int, datetime], None],
) -> tuple[int, list[LedgerTotal]]:
    """Write the entries; return their number and the totals of the books for the interval.

    Raises BooksDiffer if the sums of the entries are not those totals.
    """
    write = _writer(form, output)
    sums: Counter[tuple[str, str, str]] = Counter()
    count = 0
    for count, entry in enumerate(entries(call, interval), start=1):
        write(entry)
        for side, name in (("debit", entry["debit_account"]), ("credit", entry["credit_account"])):
            # The accounts of payees are one here, as in ledger_totals.
            sums[side, name.partition(":")[0], entry["currency"]] += entry["amount_minor"]
        if count % PAGE_LIMIT == 0:
            show(count, entry["booked_at"])
    totals: list[LedgerTotal] = call("ledger_totals", **interval.arguments)
    books = Counter(
        {
            (side, total["account"], total["currency"]): int(amount)
            for total in totals
            for side, amount in (("debit", total["debit_minor"]), ("credit", total["credit_minor"]))
        }
    )
    for key in sorted({*sums, *books}):
        if sums[key] != books[key]:
            raise BooksDiffer(
                f"the entries are not those of the books: the {' of '.join(key[:2])} in {key[2]} "
                f"(minor units) is {sums[key]} in the entries and {books[key]} in the "
                "books; select * from payout_api.verify_seals() says which row was changed"
            )
    return count, totals


def _writer(form: str, output: TextIO) -> Callable[[Entry], object]:
    if form == "jsonl":
        encode = json.JSONEncoder(ensure_ascii=False, default=_json_value).encode
        return lambda entry: output.write(f"{encode(entry)}\n")
    writer = csv.writer(output, lineterminator="\n")
    writer.writerow(COLUMNS)
    return lambda entry: writer.writerow([_cell(value) for value in entry.values()])


def _cell(value: object) -> object:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return _moment(value) if isinstance(value, datetime) else value


def _json_value(value: object) -> str:
    # An amount as text: a number would pass through binary fractions in most readers.
    return _moment(value) if isinstance(value, datetime) else str(value)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def table(totals: list[LedgerTotal]) -> list[str]:
    """Return the totals as lines of a table."""
    lines: list[tuple[str, ...]] = [HEADINGS]
    for total in totals:
        account = total["account"]
        if account == "payable":
            account += f" ({total['accounts']:,} payee{'s' * (total['accounts'] != 1)})"
        amounts = (total["opening"], total["debit"], total["credit"], total["closing"])
        told = ("?" if amount is None else f"{amount:,}" for amount in amounts)
        lines.append((account, total["currency"], *told))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if place < 2 else f"{cell:>{width}}"
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
