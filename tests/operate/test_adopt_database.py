"""Operators adopt a database with a reason, after a reconcile run or expressly without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import Connection, login_name
from tests.engine import Engine, unguarded
from tests.identity.identities import adopted_elsewhere, adoptions, identity_problem
from tests.mutants import mutant
from tests.schema.refusals import Refusal, refusal

OPEN = "select payout_api.adopt_database(p_reason => 'restored from the dump of Monday')"
OPEN_WITHOUT = (
    "select payout_api.adopt_database('nothing was sent yet', p_without_reconcile => true)"
)
NOT_RECONCILED = Refusal(
    "SP410", "the database is not adopted: no comparison with Stripe of the last hour"
)


def reconcile(
    db: Connection,
    *,
    is_finished: bool = True,
    adoptions_ago: int = 0,
    begun_at: str = "0 seconds",
) -> None:
    """Leave a run behind as reconcile does, begun before so many of the last adoptions."""
    db.execute(
        "insert into payout.stripe_reads (kind, path, queries, worker, begun_at, adoption_id, "
        "finished_at, result, next_parameters) "
        "select 'comparison', '/v1/transfers', '[{}]', 'worker_1', "
        "payout.clock() + %s::interval, max(e.adoption_id) - %s, case when %s then now() end, "
        "'compared', case when not %s then '{}'::jsonb end from payout.adoptions as e",
        [begun_at, adoptions_ago, is_finished, is_finished],
    )


def actions(db: Connection) -> list[tuple[object, ...]]:
    return db.execute(
        "select reason, details -> 'problem' is not null, details -> 'read_id', acted_by "
        "from payout.operator_actions where action = 'adopt_database' order by operator_action_id"
    ).fetchall()


def test_a_database_is_adopted_after_a_run_and_that_is_written_down(
    acted_engine: Engine,
) -> None:
    db = acted_engine.db
    operator, approver = login_name("payout_operator"), login_name("payout_approver")
    adopted_elsewhere(db, "system_identifier")
    reconcile(db)
    (run,) = db.execute("select max(read_id) from payout.stripe_reads").fetchall()[0]
    assert acted_engine.operator.execute(OPEN).fetchall() == [("proposed",)]
    assert identity_problem(db) is not None
    assert [*db.execute("select verb, reason, proposed_by from payout_api.proposals")] == [
        ("adopt_database", "restored from the dump of Monday", operator)
    ]
    acted_engine.approve()
    assert identity_problem(db) is None
    assert adoptions(db)[-1] == (True, True, False, "restored from the dump of Monday", approver)
    assert actions(db)[-1] == ("restored from the dump of Monday", True, run, approver)


def test_adopting_an_adopted_database_changes_nothing(engine: Engine) -> None:
    adopted_elsewhere(engine.db, "timeline_id")
    engine.db.execute(OPEN_WITHOUT)
    engine.approve()
    before = adoptions(engine.db), actions(engine.db)
    for call in (OPEN, OPEN_WITHOUT):
        assert engine.db.execute(call).fetchall() == [("already",)]
    engine.approve()
    assert (adoptions(engine.db), actions(engine.db)) == before


@mutant(
    "an adoption without a reason",
    "adopt",
    "coalesce(btrim(p_reason), '') = ''",
    "false",
    at="True-None",
)
@pytest.mark.parametrize("reason", [None, "", "  "])
@pytest.mark.parametrize("without_reconcile", [True, False])
def test_without_a_reason_a_database_is_not_adopted(
    engine: Engine, reason: str | None, without_reconcile: bool
) -> None:
    adopted_elsewhere(engine.db, "database_oid")
    statement = "select payout_api.adopt_database(%s, %s)"
    assert refusal(engine.db, statement, [reason, without_reconcile]) == Refusal(
        "SP320", "a database is not adopted without a reason"
    )
    assert identity_problem(engine.db) is not None


@mutant(
    "an adoption without a run",
    "adopt",
    "v_read_id is null and p_without_reconcile is not true",
    "false",
)
def test_a_database_without_a_run_of_its_own_is_not_adopted(engine: Engine) -> None:
    adopted_elsewhere(engine.db, "database_oid")
    assert refusal(engine.db, OPEN) == NOT_RECONCILED
    assert refusal(engine.db, "select payout_api.adopt_database('because', null)") == NOT_RECONCILED


@mutant("an adoption by an unfinished run", "newest_read", "r.finished_at is not null", "true")
def test_an_unfinished_run_adopts_no_database(engine: Engine) -> None:
    adopted_elsewhere(engine.db, "database_oid")
    reconcile(engine.db, is_finished=False)
    assert refusal(engine.db, OPEN) == NOT_RECONCILED


@mutant(
    "an adoption by a run in another database",
    "is_of_this_database",
    "= (w.system_identifier, w.timeline_id, w.database_oid, w.table_oid)",
    "= (w.system_identifier, w.timeline_id, w.database_oid, p_read.table_oid)",
    at="table_oid",
)
@pytest.mark.parametrize("part", ["system_identifier", "timeline_id", "database_oid", "table_oid"])
def test_a_run_that_came_with_the_copy_adopts_no_database(engine: Engine, part: str) -> None:
    adopted_elsewhere(engine.db, "database_oid")
    reconcile(engine.db)
    kind = "oid" if part.endswith("_oid") else "bigint"
    with unguarded(engine.db, "payout.stripe_reads"):
        engine.db.execute(
            f"update payout.stripe_reads set {part} = ({part}::bigint + 1)::text::{kind}".encode()
        )
    assert refusal(engine.db, OPEN) == NOT_RECONCILED


@mutant("an adoption by an old run", "newest_read", "and payout.is_of_this_database(r)", "and true")
def test_a_run_from_before_the_adoption_ended_adopts_no_database(engine: Engine) -> None:
    engine.db.execute("insert into payout.adoptions (reason) values ('closed')")
    reconcile(engine.db, adoptions_ago=1)
    assert refusal(engine.db, OPEN) == NOT_RECONCILED


@mutant(
    "an adoption by a run that was old when the clock was ahead",
    "newest_read",
    "and payout.is_of_this_database(r)",
    "and r.begun_at > (select max(a.recorded_at) from payout.adoptions as a)",
)
def test_a_run_adopts_a_database_whose_adoption_ended_with_a_clock_ahead(engine: Engine) -> None:
    engine.db.execute(
        "insert into payout.adoptions (reason, recorded_at) "
        "values ('closed', now() + interval '1 day')"
    )
    reconcile(engine.db)
    assert refusal(engine.db, OPEN) is None


@mutant(
    "an adoption by a run begun long ago",
    "adopt",
    "payout.clock() - interval '1 hour'",
    "'-infinity'",
    at="61 minutes-True",
)
@pytest.mark.parametrize(("age", "is_late"), [("59 minutes", False), ("61 minutes", True)])
def test_a_run_that_was_begun_long_ago_adopts_no_database(
    engine: Engine, age: str, is_late: bool
) -> None:
    """It knows nothing of what the old database has sent since, however late it was finished."""
    adopted_elsewhere(engine.db, "system_identifier")
    reconcile(engine.db, begun_at=f"-{age}")
    assert refusal(engine.db, OPEN) == (NOT_RECONCILED if is_late else None)
    reconcile(engine.db)
    assert refusal(engine.db, OPEN) is None


@mutant(
    "an adoption by a run begun with a clock ahead",
    "newest_read",
    "        and r.begun_at <= payout.clock()\n",
    "",
)
def test_a_run_that_was_begun_with_a_clock_ahead_adopts_no_database(engine: Engine) -> None:
    """Its age is unknown, now that the clock was set back."""
    adopted_elsewhere(engine.db, "system_identifier")
    reconcile(engine.db, begun_at="1 minute")
    assert refusal(engine.db, OPEN) == NOT_RECONCILED


def test_a_database_may_be_adopted_expressly_without_a_run_and_that_is_written_down(
    engine: Engine,
) -> None:
    adopted_elsewhere(engine.db, "database_oid")
    engine.db.execute(OPEN_WITHOUT)
    engine.approve()
    assert identity_problem(engine.db) is None
    assert adoptions(engine.db)[-1][:4] == (True, False, False, "nothing was sent yet")
    assert actions(engine.db)[-1][:3] == ("nothing was sent yet", True, None)


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_auditor"])
def test_only_an_operator_adopts_a_database(visit: Callable[..., Connection], role: str) -> None:
    assert refusal(visit(role), OPEN_WITHOUT) == Refusal(
        "42501", "permission denied for function adopt_database"
    )


@pytest.mark.parametrize("role", ["payout_app", "payout_worker", "payout_operator"])
def test_no_role_writes_an_adoption_past_the_function(
    visit: Callable[..., Connection], role: str
) -> None:
    refused = refusal(visit(role), "insert into payout.adoptions (reason) values ('mine')")
    assert refused is not None
    assert refused.sqlstate == "42501"


@mutant(
    "a proposal that outlives the reason for which claims stopped",
    "known_of",
    "payout.identity_problem() is not null",
    "false",
)
def test_a_proposal_adopts_no_database_that_was_stopped_since(
    acted_engine: Engine,
) -> None:
    """The attack: two people proposed the same, one was approved, and then Stripe showed more."""
    engine = acted_engine
    adopted_elsewhere(engine.db, "timeline_id")
    engine.db.execute(OPEN_WITHOUT)
    proposals = "select max(action_id) from payout_api.proposals"
    ((left,),) = engine.db.execute(proposals).fetchall()
    engine.operator.execute(OPEN_WITHOUT)
    ((approved,),) = engine.db.execute(proposals).fetchall()
    approve = "select payout_api.approve(%s, 'as said')"
    engine.approver.execute(approve, [approved])
    assert identity_problem(engine.db) is None
    engine.db.execute("select payout.stop_claims('database_went_back', 'it went back', null)")
    assert refusal(engine.approver, approve, [left]) == Refusal(
        "SP402", f"proposal {left}: another send, alarm or stop came meanwhile"
    )
    assert identity_problem(engine.db) == "Claims were stopped: it went back."
