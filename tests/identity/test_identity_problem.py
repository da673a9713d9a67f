"""The identity check names each change since the adoption, and the cases it cannot decide."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest

from tests.conftest import Connection, Server, compare_newest, install
from tests.engine import Engine, rate_limited
from tests.identity.identities import adopted_elsewhere, adoptions, identity_problem
from tests.mutants import mutant
from tests.reconcile.listing import ACCOUNT, begin
from tests.schema import rows


def test_where_it_was_adopted_the_identity_check_passes(engine: Engine) -> None:
    assert identity_problem(engine.db) is None


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ("system_identifier", "system"),
        ("timeline_id", "timeline"),
        ("database_oid", "database"),
        ("table_oid", "tables"),
    ],
)
def test_what_has_changed_is_named_with_what_it_was(engine: Engine, part: str, name: str) -> None:
    adopted_elsewhere(engine.db, part)
    was, is_now = engine.db.execute(
        f"select e.{part}, w.{part} from payout.adoptions as e, payout.database_identity() as w "
        "order by e.adoption_id desc limit 1".encode()
    ).fetchall()[0]
    assert identity_problem(engine.db) == f"Changed since: {name} from {was} to {is_now}."


def test_everything_that_has_changed_is_named(engine: Engine) -> None:
    engine.db.execute(
        "insert into payout.adoptions (system_identifier, timeline_id, database_oid, table_oid, "
        "reason) select 1, w.timeline_id, 2, 3, 'elsewhere' from payout.database_identity() as w"
    )
    problem = str(identity_problem(engine.db))
    assert "system from 1 to " in problem
    assert "timeline" not in problem
    assert "; database from 2 to " in problem
    assert "; tables from 3 to " in problem


@mutant(
    "an identity check against the first adoption",
    "identity_problem",
    "order by e.adoption_id desc",
    "order by e.adoption_id",
)
def test_the_newest_adoption_counts(engine: Engine) -> None:
    adopted_elsewhere(engine.db, "timeline_id")
    assert identity_problem(engine.db) is not None
    engine.db.execute("select payout_api.adopt_database('promoted', true)")
    engine.approve()
    assert identity_problem(engine.db) is None


@mutant(
    "an adoption that cannot be ended",
    "identity_problem",
    "if v_adoption.system_identifier is null then",
    "if false then",
)
def test_an_adoption_without_a_database_ends_the_one_before(engine: Engine) -> None:
    engine.db.execute("insert into payout.adoptions (reason) values ('somebody wants it so')")
    assert identity_problem(engine.db) == "Claims were stopped: somebody wants it so."


def test_an_installation_adopts_its_own_database_and_no_other(
    server: Server, empty_database: Callable[[], str]
) -> None:
    uri = empty_database()
    with server.migrating():
        install(uri)
    with psycopg.connect(uri, autocommit=True) as db:
        assert [adoption[:4] for adoption in adoptions(db)] == [(True, False, True, "installed")]
        assert identity_problem(db) is None
        rows.add_transfer(db)
        assert identity_problem(db) is None


@mutant(
    "loaded transfers claimed in a new installation",
    "identity_problem",
    "if v_adoption.is_installation and v_adoption",
    "if false and v_adoption",
)
def test_transfers_from_before_the_installation_were_loaded_from_elsewhere(
    engine: Engine,
) -> None:
    """A data-only dump that leaves the adoptions out, as it must leave out the lists."""
    engine.settle()
    install_again(engine.db, "1 hour")
    assert identity_problem(engine.db) == "It has transfers from before it was installed."


def install_again(db: Connection, when: str) -> None:
    """Let the newest adoption be that of an installation, which was made so long from now."""
    db.execute(
        "insert into payout.adoptions (system_identifier, timeline_id, database_oid, table_oid, "
        "is_installation, reason, recorded_at) select w.*, true, 'installed', "
        "now() + %s::interval from payout.database_identity() as w",
        [when],
    )


@mutant(
    "loaded attempts accepted in an older installation",
    "identity_problem",
    "if v_adoption.is_installation and exists",
    "if false and exists",
)
def test_attempts_that_were_not_handed_out_here_were_loaded_from_elsewhere(
    engine: Engine,
) -> None:
    """Into an installation that is older than the first transfer of the other."""
    engine.settle()
    engine.claim_one()
    install_again(engine.db, "-1 hour")
    assert identity_problem(engine.db) == "It has attempts that another installation handed out."
    engine.db.execute("select payout_api.adopt_database('it is the true one now', true)")
    engine.approve()
    assert identity_problem(engine.db) is None


def test_the_first_claim_that_hands_out_something_adopts_the_installation(
    engine: Engine,
) -> None:
    install_again(engine.db, "-1 hour")
    compare_newest(engine.db)
    before = adoptions(engine.db)
    engine.claim()
    assert adoptions(engine.db) == before
    engine.settle()
    engine.report(rate_limited(engine.claim_one()))
    engine.make_due()
    engine.claim_one()
    assert [adoption[:4] for adoption in adoptions(engine.db)[len(before) :]] == [
        (True, False, False, "the first claim")
    ]
    assert identity_problem(engine.db) is None


def test_a_run_from_before_the_first_claim_still_counts(engine: Engine) -> None:
    install_again(engine.db, "-1 hour")
    compare_newest(engine.db)
    run = begin(engine.db)
    engine.settle()
    assert len(engine.claim(account=(ACCOUNT, False))) == 1
    assert begin(engine.db).read_id == run.read_id


@mutant(
    "a claim in a database that was never adopted",
    "identity_problem",
    "if not found then\n",
    "if not found then\n        return null;\n",
)
def test_a_database_that_was_never_adopted_is_closed(engine: Engine) -> None:
    for trigger in ("_500_refuse_change", "_500_refuse_truncate"):
        engine.db.execute(f"alter table payout.adoptions disable trigger {trigger}".encode())
    engine.db.execute("truncate payout.adoptions")
    assert identity_problem(engine.db) == (
        "It was never adopted, and it had transfers when it was installed."
    )
