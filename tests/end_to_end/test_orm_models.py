"""SQLAlchemy writes settlements through models that it has read from the database itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from tests.conftest import Connection


# Of SQLAlchemy 2.1, about its own types.
@pytest.mark.filterwarnings("ignore:Type object:sqlalchemy.exc.SADeprecationWarning")
def test_reflected_models_settle_and_delete_a_draft(
    db: Connection, dsn: Callable[..., str]
) -> None:
    import sqlalchemy
    from sqlalchemy import orm
    from sqlalchemy.ext.automap import automap_base

    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(dsn("payout_app"))
    )
    base: Any = automap_base()
    metadata = sqlalchemy.MetaData(schema="payout")
    metadata.reflect(engine, only=["settlements", "settlement_lines"])
    base = automap_base(metadata=metadata)
    base.prepare()
    settlement, line = base.classes.settlements, base.classes.settlement_lines

    with orm.Session(engine) as session:
        session.execute(sqlalchemy.text("select payout_api.register_payee('seller_1', 'acct_1')"))
        for name, state in (("set_1", "complete"), ("draft", "pending")):
            each = settlement(
                settlement_id=name,
                currency="usd",
                total_minor=1500,
                state=state,
                pay_after=None,
                metadata={},
                created_at=sqlalchemy.func.now(),
            )
            session.add_all(
                [
                    each,
                    line(
                        settlement_id=name,
                        line_id="1",
                        payee_id="seller_1",
                        amount_minor=1500,
                        source_transaction=None,
                    ),
                ]
            )
            session.flush()
        session.commit()

        session.delete(session.get_one(line, ("draft", "1")))
        session.delete(session.get_one(settlement, "draft"))
        session.commit()

        # Saved again with all columns, nothing changes.
        again = session.get_one(settlement, "set_1")
        for name in ("currency", "total_minor", "state", "created_at"):
            orm.attributes.flag_modified(again, name)
        session.commit()
    engine.dispose()

    assert db.execute("select settlement_id, state from payout.settlements").fetchall() == [
        ("set_1", "complete")
    ]
    assert db.execute("select settlement_id from payout.payout_jobs").fetchall() == [("set_1",)]
