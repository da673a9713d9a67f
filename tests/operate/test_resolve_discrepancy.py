"""A person resolves a discrepancy, once and with a reason, and sees how to."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Connection, login_name
from tests.engine import Engine
from tests.reconcile.listing import Discrepancy, discrepancies, listed, ours, reconcile
from tests.schema.refusals import Refusal, refusal

RESOLVE = "select payout_api.resolve_discrepancy(%s, %s)"


def discrepancy(db: Connection) -> int:
    ((number,),) = db.execute("select discrepancy_id from payout.discrepancies").fetchall()
    return int(number)


def test_a_resolved_discrepancy_names_who_resolved_it_and_is_not_found_again(
    acted_engine: Engine,
) -> None:
    engine = acted_engine
    reconcile(engine.worker, listed("tr_9"))
    number = discrepancy(engine.db)
    resolved = engine.operator.execute(RESOLVE, [number, "paid by hand, agreed"])
    assert resolved.fetchall() == [("done",)]
    assert engine.db.execute("table payout_api.discrepancies").fetchall() == []
    person = login_name("payout_operator")
    assert discrepancies(engine) == [Discrepancy("transfer_without_payout_ref", "tr_9", person)]
    action = engine.db.execute(
        "select action, subject, reason, (details ->> 'discrepancy_id')::bigint, acted_by "
        "from payout.operator_actions where action = 'resolve_discrepancy'"
    )
    assert action.fetchall() == [
        (
            "resolve_discrepancy",
            "transfer_without_payout_ref",
            "paid by hand, agreed",
            number,
            person,
        )
    ]
    assert reconcile(engine.worker, listed("tr_9")).objects_found == 0
    assert len(discrepancies(engine)) == 1


def test_resolving_what_is_resolved_changes_nothing(engine: Engine) -> None:
    reconcile(engine.db, listed("tr_9"))
    number = discrepancy(engine.db)
    for reason, result in (("first", "done"), ("second", "already")):
        assert engine.db.execute(RESOLVE, [number, reason]).fetchall() == [(result,)]
        kept = engine.db.execute("select resolution from payout.discrepancies").fetchall()
        assert kept == [("first",)]


def test_an_unknown_discrepancy_cannot_be_resolved(engine: Engine) -> None:
    assert refusal(engine.db, RESOLVE, [0, "looked"]) == Refusal(
        "SP310", "discrepancy 0 does not exist"
    )


@pytest.mark.parametrize("reason", [None, "", "  "])
def test_nothing_is_resolved_without_a_reason(engine: Engine, reason: str | None) -> None:
    assert refusal(engine.db, RESOLVE, [1, reason]) == Refusal(
        "SP313", "cannot resolve discrepancy 1 without a reason"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_nobody_but_an_operator_resolves(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), RESOLVE, [1, "looked"]) == Refusal(
        "42501", "permission denied for function resolve_discrepancy"
    )


def test_the_view_names_the_calls_that_end_a_discrepancy(engine: Engine) -> None:
    engine.settle()
    reconcile(engine.db, ours(engine.db, amount=1), listed("tr_9"))
    rows = engine.db.execute(
        "select kind, settlement_id, what_to_do from payout_api.discrepancies order by kind"
    ).fetchall()
    assert [row[:2] for row in rows] == [
        ("answer_contradicts_request", "set_1"),
        ("transfer_without_payout_ref", None),
    ]
    ((hold,),) = engine.db.execute("select hold_id from payout.holds").fetchall()
    assert f"select payout_api.release_hold({hold}, '…');" in rows[0][2]
    assert "release_hold" not in rows[1][2]
    for _, _, what_to_do in rows:
        call = what_to_do.rsplit("Then: ", 1)[1].replace("…", "looked")
        engine.db.execute(call.encode())
    assert engine.db.execute("table payout_api.discrepancies").fetchall() == []
    assert engine.open_holds() == []


def test_progress_of_a_run_is_to_be_seen(engine: Engine) -> None:
    reconcile(engine.db, listed("tr_9"), listed("tr_8"), per_page=1)
    row = engine.db.execute(
        "select progress, worker, pages, transfers_seen, transfers_expected, discrepancies_found, "
        "ended_at >= begun_at from payout_api.reconcile_progress"
    )
    assert row.fetchall() == [("finished", "worker_1", 2, 2, 0, 2, True)]
