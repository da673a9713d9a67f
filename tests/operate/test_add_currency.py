"""An operator adds a currency that Stripe transfers before a release of the engine knows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.conftest import Connection
from tests.engine import Engine
from tests.mutants import mutant
from tests.operate.checks import examine
from tests.schema.refusals import (
    Refusal,
    check_refusal,
    domain_refusal,
    refusal,
    refusal_of,
)

ADD = "select payout_api.add_currency(p_currency => %s, p_minor_digits => %s, p_reason => %s, {})"
DEPLOYED = "everything is as it was deployed"


def add(
    db: Connection,
    currency: str = "xxx",
    digits: int = 2,
    reason: str | None = "new",
    step: int = 1,
) -> None:
    db.execute(ADD.format("p_amount_step => %s").encode(), [currency, digits, reason, step])


def deployed(db: Connection) -> tuple[str, str]:
    (check,) = [check for check in examine(db) if check.check_name == DEPLOYED]
    return check.status, check.detail


def test_settlements_may_be_in_it_from_then_on(engine: Engine) -> None:
    add(engine.operator, "xxx", 3, step=10)

    engine.settle(currency="xxx", amount_minor=1010)

    assert engine.claim_one().request["currency"] == "xxx"
    ((amount,),) = engine.db.execute("select amount from payout_api.unpaid").fetchall()
    assert str(amount) == "1.010"


@mutant(
    "a currency that nobody is known to have added",
    "add_currency",
    "values ('add_currency', v_currency",
    "values ('add_something', v_currency",
)
def test_it_is_on_record_and_no_matter_of_the_doctor(engine: Engine) -> None:
    add(engine.operator)
    add(engine.operator)

    assert engine.db.execute(
        "select action, subject, reason from payout.operator_actions where subject = 'xxx'"
    ).fetchall() == [("add_currency", "xxx", "new")]
    assert deployed(engine.db)[0] == "ok"


def test_one_that_was_inserted_by_hand_is_named_until_it_is_recorded(engine: Engine) -> None:
    engine.db.execute("insert into payout.currencies (currency, minor_digits) values ('xxx', 2)")

    status, detail = deployed(engine.db)
    assert (status, detail) == ("failure", "row xxx of currencies (added)")
    (hint,) = [check.hint for check in examine(engine.db) if check.check_name == DEPLOYED]
    assert "select payout.record_catalogue(reason)" in hint

    engine.db.execute("set local role payout_owner")
    engine.db.execute("select payout.record_catalogue('Stripe transfers xxx since May')")
    engine.db.execute("reset role")
    assert deployed(engine.db)[0] == "ok"


def test_digits_changed_behind_the_guards_are_named(engine: Engine) -> None:
    add(engine.operator)
    engine.db.execute("alter table payout.currencies disable trigger _500_refuse_change")
    engine.db.execute("update payout.currencies set minor_digits = 0 where currency = 'xxx'")
    engine.db.execute("alter table payout.currencies enable always trigger _500_refuse_change")

    assert deployed(engine.db) == ("failure", "row xxx of currencies (added)")


WITHOUT: Final = "without its digits and a reason"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        *(
            (values, Refusal("SP313", f"currency {values[0] or 'null'} is not added {WITHOUT}"))
            for values in (("xxx", 2, " "), ("xxx", 2, None), (None, 2, "new"), ("xxx", None, "x"))
        ),
        (("xxx", 4, "new"), check_refusal("currencies", "minor_digits_are_0_2_or_3")),
        (("xxx", 2, "new", 7), check_refusal("currencies", "amount_step_is_a_power_of_ten")),
        (
            ("XXX", 2, "new"),
            domain_refusal("currency_code", "currency_is_three_lower_case_letters"),
        ),
        (("usd", 0, "new"), Refusal("SP313", "currency usd is there with 2 digits and step 1")),
        (("kwd", 3, "new", 1), Refusal("SP313", "currency kwd is there with 3 digits and step 10")),
    ],
)
def test_a_currency_that_cannot_be_is_refused(
    values: tuple[Any, ...], expected: Refusal, engine: Engine
) -> None:
    assert refusal_of(engine.db, lambda: add(engine.operator, *values)) == expected


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_only_an_operator_may_add_one(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), "select payout_api.add_currency('xxx', 2, 'new')") == Refusal(
        "42501", "permission denied for function add_currency"
    )
