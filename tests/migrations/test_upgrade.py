"""An upgrade with data in the database, and the way back.

The step is the open migration, if there is a release before it, and one that is made up.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple
from unittest.mock import ANY

import psycopg
import pytest
from psycopg.types.json import Jsonb

from payout_engine import migrate
from payout_engine.queue_schema import apply_queue_grants, apply_queue_schema
from tests.conftest import ROOT, Connection, Server, compare_newest
from tests.engine import Engine, rate_limited, success
from tests.migrations.checkouts import copy_checkout, describe, roll_back_all
from tests.schema import rows
from tools import migration, schema_files

pytestmark = pytest.mark.proof

PAYEES: Final = "sql/tables/settlements.sql"
NICKNAME: Final = "alter table payout.payees add column nickname text;\n"
COLUMN: Final = "    created_at timestamptz not null default now(),\n    constraint payees_pkey"
MADE_UP: Final = "made-up"
# The first migration meets no data.
OPEN: Final = [
    name for name in migration.migration_names(ROOT)[1:] if not migration.is_released(ROOT, name)
]
ROWS: Final = """
select t.payout_ref, r.request::text, s.state, s.attempt, s.reason
from payout.payout_transfers as t
left join payout.transfer_requests as r on r.payout_transfer_id = t.payout_transfer_id
join payout.transfer_states as s on s.payout_transfer_id = t.payout_transfer_id
order by t.payout_transfer_id
"""


class Upgrade(NamedTuple):
    """A database of the release before, its migrations, and the checkout of the next release."""

    uri: str
    before: Path
    checkout: Path
    name: str

    @property
    def is_made_up(self) -> bool:
        return self.name.endswith(MADE_UP)

    def apply(self) -> list[str]:
        return migrate.apply_all(self.uri, migrations=self.checkout / "migrations")


def edit(root: Path, path: str, was: str, becomes: str) -> None:
    text = (root / path).read_text(encoding="utf-8")
    assert was in text, path
    (root / path).write_text(text.replace(was, becomes), encoding="utf-8")


def write_second_release(root: Path) -> str:
    """Change a table, reference rows, a view and functions of a checkout, and write that."""
    migration.release(root)
    name = f"{len(migration.migration_names(root)) + 1:04}-{MADE_UP}"
    edit(
        root, PAYEES, COLUMN, COLUMN.replace("    constraint", "    nickname text,\n    constraint")
    )
    edit(root, "sql/data/discrepancy_kinds.sql", "'Look both up. ", "'Look up both. ")
    edit(root, "sql/views/trial_balance.sql", "(b.debit_minor, 0)", "(b.debit_minor + 0, 0)")
    edit(root, "procedures/common/backoff.sql", "p_tries", "p_try_count")
    edit(root, "procedures/identity/release.sql", "'1.0'", "'1.1'")
    path = root / "procedures/common/nickname.sql"
    path.write_text(
        "-- nickname: the short name of a payee.\n\n"
        "create or replace function payout.nickname(p_payee_id text)\n"
        "returns text\nlanguage sql\nstable\nset search_path = pg_catalog, pg_temp\nas $$\n"
        "    select p.nickname from payout.payees as p where p.payee_id = p_payee_id\n$$;\n"
        "comment on function payout.nickname(text) is 'The short name of a payee.';\n",
        encoding="utf-8",
    )
    migration.write(root, name=name, why="a made-up release")
    edit(root, f"migrations/{name}.sql", "payout_owner;\n", f"payout_owner;\n\n{LOCK}{NICKNAME}")
    back = "alter table payout.payees drop column nickname;\n"
    edit(root, f"migrations/revert/{name}.sql", "payout_owner;\n", f"payout_owner;\n\n{back}")
    migration.write(root)
    return name


# In the order in which a settlement takes them: it waits, or is waited for.
LOCK: Final = (
    "lock table payout.settlements, payout.payout_jobs, payout.payout_transfers,\n"
    "    payout.transfer_states, payout.ledger_entries in access exclusive mode;\n"
)


@pytest.fixture(params=[MADE_UP, *OPEN])
def upgrade(
    request: pytest.FixtureRequest,
    server: Server,
    empty_database: Callable[[], str],
    tmp_path: Path,
) -> Iterator[Upgrade]:
    checkout = copy_checkout(tmp_path / "checkout")
    name = write_second_release(checkout) if request.param == MADE_UP else request.param
    before = shutil.copytree(checkout / "migrations", tmp_path / "before", symlinks=True)
    for path in before.rglob(f"{name}*"):
        path.unlink()
    uri = empty_database()
    apply_queue_schema(uri)
    with server.migrating():
        migrate.apply_all(uri, migrations=before)
        apply_queue_grants(uri)
        yield Upgrade(uri, before, checkout, name)


def test_an_upgrade_leaves_what_the_files_of_the_release_say_and_the_revert_what_was(
    upgrade: Upgrade, empty_database: Callable[[], str]
) -> None:
    before, built = describe(upgrade.uri), empty_database()
    apply_queue_schema(built)
    schema_files.build(built, upgrade.checkout)

    assert upgrade.apply() == [upgrade.name]
    assert columns_in_order(describe(upgrade.uri)) == columns_in_order(describe(built))

    roll_back_all(upgrade.uri, upgrade.checkout / "migrations")
    migrate.apply_all(upgrade.uri, migrations=upgrade.before)
    assert describe(upgrade.uri) == before


def test_one_step_back_leaves_the_release_before(upgrade: Upgrade) -> None:
    before = describe(upgrade.uri)
    upgrade.apply()
    assert describe(upgrade.uri) != before or not upgrade.is_made_up

    with psycopg.connect(upgrade.uri) as connection:
        connection.execute(migration.revert_path(upgrade.checkout, upgrade.name).read_bytes())
    assert describe(upgrade.uri) == before


def test_transfers_go_on_through_an_upgrade(upgrade: Upgrade) -> None:
    with psycopg.connect(upgrade.uri, autocommit=True) as db:
        engine = Engine(db)
        compare_newest(db)
        engine.settle("seller_1", "seller_2", settlement_id="set_1")
        first, second = engine.claim()
        engine.report(rate_limited(first))
        before = db.execute(ROWS).fetchall()

        upgrade.apply()

        assert db.execute(ROWS).fetchall() == before
        assert db.execute("select * from payout_api.verify_projection()").fetchall() == []
        # An answer to a claim of the release before still counts, and so does its key.
        assert engine.report_one(success(second)) == ("ok", "paid")
        engine.make_due()
        again = engine.claim_one()
        assert again == first._replace(attempt=2, claim_token=ANY, due_for_seconds=ANY)
        engine.settle("seller_3", settlement_id="set_2")
        assert len(engine.claim()) == 1
        assert engine.differences_in_the_books() == []


def test_a_settlement_that_was_begun_before_an_upgrade_commits(
    upgrade: Upgrade, background: ThreadPoolExecutor
) -> None:
    with psycopg.connect(upgrade.uri, autocommit=True) as db, psycopg.connect(upgrade.uri) as app:
        rows.add_payee(db)
        app.execute("set deadlock_timeout = '1ms'")
        app.execute(
            "insert into payout.settlements "
            "(settlement_id, currency, total_minor, state, metadata) "
            "values ('set_1', 'usd', 700, 'complete', %s)",
            [Jsonb({"back\\slash": '"\\x41" é 🧾'})],
        )
        app.execute(
            "insert into payout.settlement_lines "
            "(settlement_id, line_id, payee_id, amount_minor) values ('set_1', '1', %s, 700)",
            [rows.PAYEE],
        )
        applying = background.submit(upgrade.apply)
        waited = wait_for_a_lock(db, lambda: not applying.done())
        # Not every migration needs a lock that a settlement has.
        assert waited or not upgrade.is_made_up
        app.commit()
        assert applying.result() == [upgrade.name]
        assert db.execute("select state from payout.transfer_states").fetchall() == [("scheduled",)]


def wait_for_a_lock(db: Connection, goes_on: Callable[[], bool]) -> bool:
    waiting = (
        "select from pg_locks as l join pg_database as d on d.oid = l.database "
        "where d.datname = current_database() and not l.granted"
    )
    while not db.execute(waiting).rowcount:
        if not goes_on():
            return False
    return True


def columns_in_order(text: str) -> list[str]:
    """Return the lines sorted: a new column is the last of an old table, but not of a new one.

    Each line of a table or type begins with the name of it.
    """
    lines, owner = [], ""
    for line in text.splitlines():
        owner = owner if line.startswith(" ") else line
        lines.append(f"{owner}: {line}")
    return sorted(lines)


def test_a_column_of_another_table_is_a_difference() -> None:
    tables = "table a\n    x text\n    y text\n\ntable b\n    z text\n"

    assert columns_in_order(tables) == columns_in_order(
        "table b\n    z text\n\ntable a\n    y text\n    x text\n"
    )
    assert columns_in_order(tables) != columns_in_order(
        "table a\n    x text\n\ntable b\n    y text\n    z text\n"
    )
