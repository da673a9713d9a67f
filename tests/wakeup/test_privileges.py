"""A login that may write to the queue may wake workers, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Connection
from tests.engine import Engine, success
from tests.mutants import mutant
from tests.operate.checks import complaints
from tests.schema.refusals import Refusal, refusal
from tests.wakeup.wakeups import lose_wakeups, queue, rung, wakeups

DENIED: Final = "42501"
JOBS: Final = "table procrastinate_jobs"
# Ways by which a worker's login might get hold of the tables through what it may do in the queue.
WAYS_IN: Final = {
    "create function procrastinate.procrastinate_defer_jobs_v1(text) returns void "
    "language sql as 'delete from payout.ledger_entries'": "schema procrastinate",
    "create or replace function procrastinate.procrastinate_unlink_periodic_defers_v1() "
    "returns trigger language plpgsql as 'begin return null; end'": "schema procrastinate",
    "create table procrastinate.text (id integer)": "schema procrastinate",
    "create trigger pay after insert on procrastinate.procrastinate_jobs for each row "
    "execute function procrastinate.procrastinate_unlink_periodic_defers_v1()": JOBS,
    "truncate procrastinate.procrastinate_jobs cascade": JOBS,
    "select * from payout.transfer_states": "schema payout",
    "update payout.transfer_states set state = 'paid'": "schema payout",
    "select payout.defer_job(1, 1)": "schema payout",
    "select payout.remove_served_wakeups('{1}')": "schema payout",
    "select payout.queue_due_wakeups(now(), 1)": "schema payout",
    "select payout.remove_lost_wakeups()": "schema payout",
}
OWNER_ONLY: Final = (
    "alter table procrastinate.procrastinate_jobs disable trigger all",
    "create rule pay as on insert to procrastinate.procrastinate_jobs do also nothing",
    "alter function procrastinate.procrastinate_unlink_periodic_defers_v1() security definer",
)
# Another login gets the schema of the queue, in which it then has its own code run.
TAKE_OVER: Final = """
create role payout_test_stranger;
create table public.run_as (name text);
grant insert on public.run_as to public;
create function procrastinate.note() returns trigger language plpgsql as $$ begin
    insert into public.run_as values (current_user); return coalesce(new, old); end $$;
create trigger note before insert or update or delete on procrastinate.procrastinate_jobs
    for each row execute function procrastinate.note();
alter function procrastinate.note() owner to payout_test_stranger;
"""
OWNS_IT: Final = "alter schema procrastinate owner to payout_test_stranger"
CHANGED_BY_MEMBERS: Final = "only members of payout_owner change the queue"


@pytest.mark.parametrize("statement", WAYS_IN)
def test_the_queue_leads_a_worker_to_no_table_and_no_function_of_ours(
    visit: Callable[..., Connection], statement: str
) -> None:
    message = f"permission denied for {WAYS_IN[statement]}"
    assert refusal(visit("payout_worker"), statement) == Refusal(DENIED, message)


@pytest.mark.parametrize("statement", OWNER_ONLY)
def test_a_worker_cannot_change_how_the_queue_works(
    visit: Callable[..., Connection], statement: str
) -> None:
    refused = refusal(visit("payout_worker"), statement)
    assert refused is not None
    assert refused.sqlstate == DENIED
    assert "must be owner of" in str(refused.message)


@pytest.mark.parametrize("role", ["payout_operator", "payout_auditor"])
def test_people_may_look_at_the_queue_and_leave_it_alone(
    visit: Callable[..., Connection], role: str
) -> None:
    person = visit(role)
    assert refusal(person, "select from procrastinate.procrastinate_jobs") is None
    for statement in (
        "insert into procrastinate.procrastinate_jobs (queue_name, task_name) values ('a', 'b')",
        "update procrastinate.procrastinate_jobs set status = 'doing'",
        "delete from procrastinate.procrastinate_jobs",
    ):
        assert refusal(person, statement) == Refusal(DENIED, f"permission denied for {JOBS}")


def test_the_application_queues_wakeup_jobs_without_rights_on_the_queue(
    acted_engine: Engine,
) -> None:
    acted_engine.settle()
    assert len(wakeups(acted_engine.db)) == 1
    refused = refusal(acted_engine.app, "select from procrastinate.procrastinate_jobs")
    assert refused == Refusal(DENIED, "permission denied for schema procrastinate")


@pytest.mark.parametrize(
    "tampering",
    [
        "update procrastinate_jobs set args = '{\"payout_job_id\": 999999}'",
        "update procrastinate_jobs set args = '{}', task_name = 'no.such.task'",
        "update procrastinate_jobs set scheduled_at = now() + interval '1 year'",
        "update procrastinate_jobs set status = 'doing'",
        "delete from procrastinate_jobs",
    ],
)
def test_what_a_worker_does_to_the_queue_neither_pays_nor_loses_anything(
    acted_engine: Engine, tampering: str
) -> None:
    (transfer,) = acted_engine.settle()
    queue(acted_engine.worker, tampering)
    before = acted_engine.progress(transfer)
    assert (before.state, before.attempt) == ("scheduled", 0)
    acted_engine.let_pass("1 minute")
    acted_engine.sweep()
    acted_engine.report(success(acted_engine.claim_one()))
    assert acted_engine.progress(transfer).state == "paid"


@mutant(
    "a queue whose owner may be anybody",
    "has_queue",
    "pg_has_role(n.nspowner, 'payout_owner', 'member')",
    "true",
)
@mutant(
    "a settlement that runs a stranger's code as the owner",
    "find_wakeup",
    "if not payout.has_queue() then",
    "if false then",
)
@mutant(
    "a claim that runs a stranger's code as the owner",
    "remove_served_wakeups",
    "or not payout.has_queue() then",
    "or false then",
)
@mutant(
    "a doctor who runs a stranger's code as the owner",
    "queue_problem",
    "if not payout.has_queue() then",
    "if false then",
)
def test_the_owner_of_a_queue_has_nothing_run_as_the_owner_of_the_engine(engine: Engine) -> None:
    """Triggers of the queue run as who writes to it, and its owner may make any."""
    (transfer,) = engine.settle()
    engine.db.execute(TAKE_OVER.encode() + OWNS_IT.encode())
    claim = engine.claim_one()
    engine.settle("seller_2", settlement_id="set_2")
    engine.let_pass("1 minute")
    assert rung(engine.db) == 0
    found = complaints(engine.db)
    assert engine.db.execute("table public.run_as").fetchall() == []
    assert found == {
        "the queue is the engine's own": "the schema procrastinate belongs to another application"
    }
    assert engine.report_one(success(claim)) == ("ok", "paid")
    assert engine.progress(transfer).state == "paid"


def test_a_queue_whose_owner_may_act_as_the_owner_of_the_engine_is_used(engine: Engine) -> None:
    engine.db.execute(TAKE_OVER.encode() + OWNS_IT.encode())
    engine.db.execute("grant payout_owner to payout_test_stranger")
    engine.db.execute("select setval('payout.waiting_wakeup', 1, false)")
    engine.settle()
    assert engine.db.execute("table public.run_as").fetchall() == [("payout_owner",)]


@mutant(
    "a doctor who passes who changes the queue",
    "check_queue_code",
    "where q.role = 0 or not pg_has_role(q.role, 'payout_owner', 'member')",
    "where q.role = 0",
    at="an object of another login",
)
@pytest.mark.parametrize(
    ("attack", "named"),
    [
        pytest.param(
            "select",
            "procrastinate.note(): owned by payout_test_stranger",
            id="an object of another login",
        ),
        pytest.param(
            "drop function procrastinate.note() cascade; "
            "grant trigger on procrastinate.procrastinate_jobs to payout_worker",
            "procrastinate.procrastinate_jobs: TRIGGER to payout_worker",
            id="a right to add triggers",
        ),
        pytest.param(
            "drop function procrastinate.note() cascade; "
            "grant create on schema procrastinate to public",
            "schema procrastinate: CREATE to public",
            id="a right to add functions",
        ),
    ],
)
def test_the_doctor_names_who_else_may_change_the_code_of_the_queue(
    engine: Engine, attack: str, named: str
) -> None:
    engine.db.execute(TAKE_OVER.encode() + attack.encode())
    assert complaints(engine.db) == {CHANGED_BY_MEMBERS: named}


def test_a_temporary_table_in_front_of_the_queue_deceives_nobody(shared_engine: Engine) -> None:
    """By default no login may make one; here one may."""
    worker = shared_engine.worker
    shared_engine.db.execute(f'grant temporary on database "{worker.info.dbname}" to public')
    for table in ("jobs", "events", "periodic_defers"):
        name = f"procrastinate_{table}"
        worker.execute(f"create temporary table {name} (like procrastinate.{name})")
    shared_engine.settle(pay_after="2100-01-01")
    shared_engine.make_due()
    assert rung(worker) == 1
    assert len(wakeups(shared_engine.db)) == 1
    shared_engine.claim_one()
    assert wakeups(shared_engine.db) == {}


def test_what_a_job_says_is_data_and_never_run(acted_engine: Engine) -> None:
    (transfer,) = acted_engine.settle()
    lose_wakeups(acted_engine.db)
    queue(
        acted_engine.worker,
        "insert into procrastinate_jobs (queue_name, task_name, args) "
        "values ('payouts', 'payout.execute', %s)",
        [Jsonb({"payout_job_id": "1; truncate payout.settlements cascade"})],
    )
    acted_engine.let_pass("1 minute")
    assert rung(acted_engine.worker) == 1
    acted_engine.claim_one()
    assert acted_engine.progress(transfer).attempt == 1
