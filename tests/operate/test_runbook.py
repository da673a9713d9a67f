"""The runbook's pages: one for each situation that a person can move, and every command in it runs.

The pages of alerts are tested with the alerts.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest

from tests.conftest import ROOT
from tests.engine import Claim, Engine, Outcome, no_answer, refusal_by_stripe, success
from tests.operate.test_reversed_money import reverse
from tests.operate.test_stories import Person

RUNBOOK: Final = (
    (ROOT / "docs/runbook.md").read_text(encoding="utf-8").partition("\n## Alerts\n")[0]
)
PAGES: Final = dict(re.findall(r"^### ([\w, ]+)\n(.*?)(?=\n##|\Z)", RUNBOOK, re.M | re.S))
# The lines of a console belong together; statements are calls of different days.
COMMANDS: Final = [
    *re.findall(r"^```psql\n(.*?)^```$", RUNBOOK, re.M | re.S),
    *(
        statement
        for block in re.findall(r"^```sql\n(.*?)^```$", RUNBOOK, re.M | re.S)
        for statement in re.findall(r"^select .*?;(?= *(?:--.*)?$)", block, re.M | re.S)
    ),
]


def test_each_page_says_meaning_look_call_and_limit() -> None:
    assert len(PAGES) > 10
    for name, page in PAGES.items():
        for part in ("**Means.**", "**Look.**", "**Type.**", "**Leave.**"):
            assert page.count(part) == 1, (name, part)


def test_each_situation_has_its_row_and_each_page_its_situation(engine: Engine) -> None:
    rows = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|(.*?)\|", RUNBOOK, re.M))))
    paged = set(re.findall(r"\w+", " ".join(PAGES)))
    situations = {s for (s,) in engine.db.execute("select situation from payout.situations")}
    assert rows == situations - {"paid", "cancelled", "settled_outside"}
    assert paged <= situations


def declined(claim: Claim) -> Outcome:
    return refusal_by_stripe(claim, 400, "amount_too_small") | {"should_retry": "false"}


@pytest.fixture
def busy(shared_engine: Engine) -> Engine:
    """An engine in which each command of the runbook finds something to do."""
    engine = shared_engine
    transfers = engine.settle(*(f"seller_{n}" for n in range(1, 21)), amount_minor=5000)
    engine.settle("seller_1", settlement_id="set_9", pay_after="2099-01-01Z")
    for claim in engine.claim():
        number = claim.payout_transfer_id
        if number in (transfers[1], 18):
            engine.report(success(claim, stripe_transfer_id=f"tr_{number}"))
            reverse(engine, number, 4000)
        else:
            engine.report(no_answer(claim) if number == 19 else declined(claim))
    engine.hold("payee", "seller_18")
    engine.hold("payee", "seller_19")
    engine.hold("payee", "seller_20")
    return engine


def test_each_command_runs(busy: Engine, dsn: Callable[..., str]) -> None:
    people = {role: Person(dsn(f"payout_{role}")) for role in ("operator", "approver")}
    busy.set(approval_limit_minor=100)
    people["operator"].type("select * from payout_api.repay(18, 'to be approved');")
    ((proposal,),) = busy.db.execute("select action_id from payout_api.proposals").fetchall()
    busy.set(approval_limit_minor=100_000)
    assert len(COMMANDS) > 30
    for command in COMMANDS:
        approves = "payout_api.approve(" in command
        person = people["approver" if approves else "operator"]
        person.type("begin;")
        answer = person.type(command.replace("approve(12", f"approve({proposal}"))
        person.type("rollback;")
        assert not re.search(r"│ refused +│", answer), answer
    for person in people.values():
        person.leave()
