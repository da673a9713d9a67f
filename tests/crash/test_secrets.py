"""Neither Stripe's key nor the database's password ends up in a row or in a log."""

from __future__ import annotations

import json
from typing import Final

from psycopg import sql

from payout_engine_sandbox.stripe_double import Fault, Latch
from tests.conftest import PASSWORD, Connection
from tests.crash.conftest import StartWorker
from tests.crash.story import Story
from tests.crash.workers import CANARY, OURS, PLAIN

DEBUG: Final = (*OURS, "--log-level", "DEBUG")
JSON: Final = (*DEBUG, "--log-format", "json")
TABLES: Final = """
select c.oid::regclass::text from pg_class as c
where c.relnamespace in ('payout'::regnamespace, 'procrastinate'::regnamespace)
    and c.relkind in ('r', 'p')
"""
ECHO: Final = f"wrong key: {CANARY} (Authorization: Bearer {CANARY})"
# Answers that repeat the key in every field of Stripe's that is kept or logged.
ECHOES: Final = (
    Fault(status=400, error_message=ECHO, error_type=CANARY, error_code=CANARY),
    Fault(status=429, error_message=ECHO, headers={"Stripe-Rate-Limited-Reason": CANARY}),
    Fault(status=500, error_message=ECHO, headers={"Request-Id": CANARY}),
    Fault(status=503, body=f"<html>{ECHO}</html>", content_type="text/html"),
    Fault(status=200, body=f'{{"object": "{CANARY}"'),
    Fault(status=200, body=f'{{"object": "{CANARY}", "id": "{CANARY}", "currency": "{CANARY}"}}'),
    Fault(status=200, body="", content_type=f"text/{CANARY}"),
    Fault(status=302, body="", headers={"Location": f"https://{CANARY}@example.com/{CANARY}"}),
    Fault(delivery="reset"),
    Fault(delivery="cut"),
)


def rows_with(db: Connection, secret: str) -> list[str]:
    """Return the tables that hold a text, in clear or in hexadecimal digits."""
    found = []
    for (table,) in db.execute(TABLES).fetchall():
        query = sql.SQL("select from {} as t where t::text ~ %s").format(
            sql.SQL(table)  # a regclass, which is quoted where it has to be
        )
        if db.execute(query, [f"{secret}|{secret.encode().hex()}"]).rowcount:
            found.append(table)
    return found


def test_the_secret_key_is_in_no_row_and_no_line_of_a_log_after_every_fault(
    story: Story, run_worker: StartWorker
) -> None:
    for fault in ECHOES:
        story.double.inject(fault)
    workers = [run_worker(DEBUG), run_worker(JSON)]
    story.settle(len(ECHOES) + 2)
    story.wait_for_requests(len(ECHOES) + 2)
    latch = Latch()
    story.double.inject("answer_delayed", times=None, hold_after=latch)
    workers.append(run_worker(PLAIN))
    story.settle(2, settlement_id="set_2")
    story.double.wait_for_requests(2, where=lambda request: request.fault == "answer_delayed")
    for worker in workers:
        for session in story.sessions(worker):
            story.db.execute("select pg_terminate_backend(%s)", [session])
    latch.open()
    story.double.revoke_key(api_key=CANARY)
    story.settle(1, settlement_id="set_3")
    story.engine.sweep()
    story.double.wait_for_requests(1, where=lambda request: request.status == 401)
    for worker in workers:
        worker.terminate()
        worker.wait()

    assert story.engine.open_holds()
    for secret in (CANARY, PASSWORD):
        assert rows_with(story.db, secret) == []
        assert [worker.pid for worker in workers if secret in worker.log()] == []
    lines = [json.loads(line) for line in workers[1].log().splitlines()]
    assert {line["worker"].split()[-1] for line in lines} == {str(workers[1].pid)}
    assert rows_with(story.db, "wrong key") == ["payout.transfer_observations"]
    story.check_money()
