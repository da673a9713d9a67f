"""Where there are caps, claims wait for each other; holds that came meanwhile stop them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tests.conftest import compare_newest
from tests.engine import Claim, Engine
from tests.mutants import Edit, mutant
from tests.schema.refusals import wait_until_blocked

HOLD: Final = "select payout_api.hold(%s, 'stop', %s)"
# The clock can be moved: an hour ends while a claim waits.
MOVING_CLOCK: Final = """
create table payout.moved (by interval);
grant select on payout.moved to payout_owner;
insert into payout.moved
select date_trunc('hour', now(), 'UTC') + interval '59 minutes' - now();
create or replace function payout.clock() returns timestamptz language sql as $$
    select clock_timestamp() + m.by from payout.moved as m $$;
"""
LOCK: Final = "perform from payout.caps as c order by c.scope, c.currency for update;"
EARLY: Final = "v_now := payout.clock(); "
BEHIND: Final = (
    Edit("claim_transfers", LOCK, ""),
    Edit("within_caps", "    end if;\n\n    for v_due", f"    end if; {LOCK} for v_due"),
)


def ids(claims: list[Claim]) -> list[int]:
    return [claim.payout_transfer_id for claim in claims]


@mutant("a claim that chooses before it waits", edits=BEHIND)
@pytest.mark.parametrize("subject", [None, "seller_1"], ids=["engine", "payee"])
def test_a_hold_stops_each_claim_from_its_commit_on(
    shared_engine: Engine, background: ThreadPoolExecutor, subject: str | None
) -> None:
    """The attack: an operator's open transaction has set a cap, and another one stops all."""
    engine = shared_engine
    engine.db.execute("select payout_api.set_cap('engine', 'usd', 'a bound', 1000000)")
    _, other = engine.settle("seller_1", "seller_2")
    engine.db.execute("begin; select payout_api.set_cap('engine', 'usd', 'a bound', 2000000)")
    claiming = background.submit(engine.claim)
    wait_until_blocked(engine.db, engine.worker, by=claiming)
    engine.operator.execute(HOLD, ["payee" if subject else "engine", subject])
    engine.db.execute("commit")
    assert ids(claiming.result()) == ([other] if subject else [])


@mutant(
    "a claim that counts for the hour in which it began to wait",
    edits=(
        Edit("claim_transfers", f"{LOCK}\n    v_now := payout.clock();", f"{EARLY}{LOCK}"),
        Edit("exceeded_cap", "select greatest(u.begun_at,\n                date_", "select (date_"),
    ),
)
def test_a_claim_that_waited_counts_for_the_hour_in_which_it_goes_on(
    shared_engine: Engine, background: ThreadPoolExecutor
) -> None:
    """Else it would count for the hour before, and the new hour would begin anew after it."""
    engine = shared_engine
    engine.db.execute(MOVING_CLOCK)
    compare_newest(engine.db)
    engine.db.execute("select payout_api.set_cap('engine', 'usd', 'one', null, 1)")
    engine.settle("seller_1", "seller_2", "seller_3", pay_after="2020-01-01")
    engine.db.execute("update payout.transfer_states set next_attempt_at = payout.clock()")
    engine.db.execute("begin; select from payout.caps for update")
    claiming = background.submit(engine.claim, 1)
    wait_until_blocked(engine.db, engine.worker, by=claiming)
    engine.db.execute("update payout.moved set by = by + interval '2 minutes'")
    assert len(engine.claim(1, connection=engine.db)) == 1
    engine.db.execute("commit")
    assert claiming.result() == []
